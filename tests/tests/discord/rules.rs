//! What the server enforces, asked straight over HTTP.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;
use tidegate_tests::discord::{Discord, Fault, Id, Person, Room, Rule, TOKEN_LIFE, permissions};

/// A bot that says exactly what a test tells it, over HTTP alone.
struct Hand {
    discord: Discord,
    room: Room,
    client: Client,
}

impl Hand {
    fn new() -> Hand {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let discord = Discord::start();
        let room = discord.add_room("Example", "releases");
        Hand { discord, room, client: Client::new() }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/api/v10{path}", self.discord.base());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url).header("authorization", format!("Bot {}", self.discord.token())).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        self.ask("POST", &format!("/channels/{}/messages", self.room.channel), body).await
    }

    /// The status and the code of the error.
    async fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, u64) {
        let (status, body) = self.ask(method, path, body).await;
        (status, body["code"].as_u64().unwrap_or_default())
    }

    async fn commands(&self, body: &Value) -> (u16, Value) {
        self.ask("PUT", &format!("/applications/{}/guilds/{}/commands", self.discord.application(), self.room.guild), body).await
    }

    async fn alice(&self) -> Person<'_> {
        let option = json!({ "type": 3, "name": "stack", "description": "Which", "autocomplete": true });
        let (status, _) = self.commands(&json!([{ "name": "status", "description": "What runs", "options": [option] }])).await;
        assert_eq!(status, 200);
        self.discord.person(self.room, "alice")
    }

    fn rules(&self) -> Vec<Rule> {
        self.discord.broken().iter().map(|broken| broken.rule).collect()
    }
}

fn callback(id: Id, token: &str) -> String {
    format!("/interactions/{id}/{token}/callback")
}

#[tokio::test]
async fn an_interaction_is_acknowledged_once_in_three_seconds_and_of_its_kind() {
    let hand = Hand::new();
    let alice = hand.alice().await;
    let answer = json!({ "type": 4, "data": { "content": "x", "allowed_mentions": { "parse": [] } } });
    let asked = alice.says("/status").unwrap();
    for (kind, data) in [(6, json!({})), (7, json!({ "content": "x" })), (8, json!({ "choices": [] }))] {
        let refused = hand.refused("POST", &callback(asked.id, &asked.token()), &json!({ "type": kind, "data": data })).await;
        assert_eq!(refused, (400, 50035), "callback {kind} for a command");
    }
    assert_eq!(hand.rules(), [Rule::CallbackKind; 3]);
    assert_eq!(hand.ask("POST", &callback(asked.id, &asked.token()), &answer).await.0, 204);
    assert_eq!(hand.refused("POST", &callback(asked.id, &asked.token()), &answer).await, (400, 40060));

    let late = alice.says("/status").unwrap();
    hand.discord.advance(Duration::from_secs(4));
    assert_eq!(hand.refused("POST", &callback(late.id, &late.token()), &answer).await, (404, 10062));
    assert_eq!(
        hand.refused(
            "PATCH",
            &format!("/webhooks/{}/{}/messages/@original", hand.discord.application(), late.token()),
            &json!({"content": "y"})
        )
        .await,
        (404, 10015)
    );
}

#[tokio::test]
async fn a_token_lives_fifteen_minutes() {
    let hand = Hand::new();
    let alice = hand.alice().await;
    let asked = alice.says("/status").unwrap();
    assert_eq!(hand.ask("POST", &callback(asked.id, &asked.token()), &json!({ "type": 5, "data": { "flags": 64 } })).await.0, 204);
    let original = format!("/webhooks/{}/{}/messages/@original", hand.discord.application(), asked.token());
    assert!(asked.answered().is_none(), "thinking is no answer");
    assert_eq!(hand.ask("PATCH", &original, &json!({ "content": "done", "flags": 0 })).await.0, 200);
    let seen = asked.answer().await.unwrap();
    assert_eq!((seen.content.as_str(), seen.private_to), ("done", Some(alice.user)), "private stays private");
    hand.discord.advance(TOKEN_LIFE);
    assert_eq!(hand.refused("PATCH", &original, &json!({ "content": "later" })).await, (401, 50027));
    assert_eq!(hand.rules(), [Rule::TokenAge]);
}

#[tokio::test]
async fn forms_keep_their_limits() {
    let hand = Hand::new();
    hand.discord.without_rate_limits();
    let long = |length: usize| "x".repeat(length);
    let button = |id: &str| json!({ "type": 2, "style": 1, "label": "x", "custom_id": id });
    let row = |buttons: Vec<Value>| json!({ "content": "x", "components": [{ "type": 1, "components": buttons }] });
    let fields = |count: usize| (0..count).map(|_| json!({ "name": "n", "value": "v" })).collect::<Vec<_>>();
    let wrong = [
        json!({ "content": long(2001) }),
        json!({ "embeds": [{ "title": long(257) }] }),
        json!({ "embeds": [{ "description": long(4097) }] }),
        json!({ "embeds": [{ "fields": fields(26) }] }),
        json!({ "embeds": [{ "fields": [{ "name": "", "value": "v" }] }] }),
        json!({ "embeds": [{ "fields": [{ "name": "n", "value": long(1025) }] }] }),
        json!({ "embeds": [{ "footer": { "text": long(2049) } }] }),
        json!({ "embeds": vec![json!({ "description": long(3001) }); 2] }),
        json!({ "embeds": vec![json!({ "title": "x" }); 11] }),
        json!({ "content": "x", "nonce": long(26), "enforce_nonce": true }),
        json!({ "content": "x", "allowed_mentions": { "parse": ["users"], "users": ["5"] } }),
        row(vec![button("a"), button("a")]),
        row((0..6).map(|at| button(&at.to_string())).collect()),
        row(vec![button(&long(101))]),
        row(vec![json!({ "type": 2, "style": 1, "label": long(81), "custom_id": "a" })]),
        row(vec![json!({ "type": 2, "style": 5, "label": "x", "url": "javascript:x" })]),
    ];
    for body in &wrong {
        let (status, answer) = hand.post(body).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(50035)), "{body}");
    }
    assert_eq!(hand.rules().len(), wrong.len());
    let (_, answer) = hand.post(&wrong[4]).await;
    assert_eq!(answer["errors"]["embeds"]["0"]["fields"]["0"]["name"]["_errors"][0]["code"], "BASE_TYPE_REQUIRED");
    assert_eq!(hand.post(&json!({ "content": "" })).await.1["code"], 50006);
    let most =
        json!({ "content": long(2000), "embeds": [{ "title": long(256), "description": long(4096), "footer": { "text": long(1648) } }] });
    assert_eq!(hand.post(&most).await.0, 200, "the limit itself is fine");
}

#[tokio::test]
async fn commands_keep_their_form() {
    let hand = Hand::new();
    hand.discord.without_rate_limits();
    let option = |name: &str, required: bool| json!({ "type": 3, "name": name, "description": "d", "required": required });
    for wrong in [
        json!([{ "name": "Status", "description": "d" }]),
        json!([{ "name": "status", "description": "" }]),
        json!([{ "name": "a", "description": "d" }, { "name": "a", "description": "d" }]),
        json!([{ "name": "a", "description": "d", "options": [option("x", false), option("y", true)] }]),
        json!([{ "name": "a", "description": "x".repeat(101) }]),
    ] {
        assert_eq!(hand.commands(&wrong).await.0, 400, "{wrong}");
    }
    let (_, first) = hand.commands(&json!([{ "name": "a", "description": "d" }])).await;
    let (_, second) = hand.commands(&json!([{ "name": "a", "description": "d" }, { "name": "b", "description": "d" }])).await;
    assert_eq!((&first[0]["id"], &first[0]["version"]), (&second[0]["id"], &second[0]["version"]), "what did not change stays");
}

#[tokio::test]
async fn a_nonce_posts_once_and_a_lost_answer_does_not_double() {
    let hand = Hand::new();
    let body = json!({ "content": "card", "nonce": "n1", "enforce_nonce": true, "allowed_mentions": { "parse": [] } });
    hand.discord.fail("POST", "/messages", Fault::AppliedThen(500));
    assert_eq!(hand.post(&body).await.0, 500);
    let (status, again) = hand.post(&body).await;
    let seen = hand.discord.messages(hand.room.channel);
    assert_eq!((status, seen.len()), (200, 1));
    assert_eq!(again["id"], seen[0].id.to_string());
    hand.discord.advance(Duration::from_secs(600));
    hand.post(&body).await;
    assert_eq!(hand.discord.messages(hand.room.channel).len(), 2, "a nonce is forgotten after minutes");
    hand.discord.assert_obeyed();
}

#[tokio::test]
async fn mentions_reach_whom_the_request_allows() {
    let hand = Hand::new();
    let alice = hand.discord.person(hand.room, "alice").user;
    let role = hand.discord.add_role(hand.room.guild, "on-call");
    let text = format!("<@{alice}> <@&{role}> @everyone");
    let pinged = async |allowed: Value| {
        let mut body = json!({ "content": text });
        if !allowed.is_null() {
            body["allowed_mentions"] = allowed;
        }
        hand.post(&body).await;
        hand.discord.messages(hand.room.channel).pop().unwrap().pinged
    };
    assert!(pinged(json!({ "parse": [] })).await.nobody());
    let open = pinged(Value::Null).await;
    assert_eq!((open.users, open.roles, open.everyone), (vec![alice], vec![role], false), "the bot may not call everybody");
    assert_eq!(pinged(json!({ "parse": [], "roles": [role.to_string()] })).await.roles, [role]);
    assert!(hand.discord.careless().iter().any(|careless| careless.contains("allowed_mentions")));
}

#[tokio::test]
async fn channels_have_permissions_and_threads_their_states() {
    let hand = Hand::new();
    let (status, card) = hand.post(&json!({ "content": "card" })).await;
    assert_eq!(status, 200);
    let path = format!("/channels/{}/messages/{}", hand.room.channel, card["id"].as_str().unwrap());
    assert_eq!(hand.ask("POST", &format!("{path}/threads"), &json!({ "name": "detail" })).await.0, 201);
    assert_eq!(hand.refused("POST", &format!("{path}/threads"), &json!({ "name": "detail" })).await, (400, 160_004));
    let thread = hand.discord.threads(hand.room.channel)[0];
    let in_thread = format!("/channels/{thread}/messages");
    let (_, line) = hand.ask("POST", &in_thread, &json!({ "content": "line" })).await;
    hand.discord.set_thread(thread, true, false);
    let line = format!("{in_thread}/{}", line["id"].as_str().unwrap());
    assert_eq!(hand.refused("PATCH", &line, &json!({ "content": "x" })).await, (400, 50083));
    assert_eq!(hand.ask("POST", &in_thread, &json!({ "content": "opens again" })).await.0, 200);
    hand.discord.set_thread(thread, true, true);
    assert_eq!(hand.refused("POST", &in_thread, &json!({ "content": "x" })).await, (403, 160_005));

    hand.discord.deny_bot(hand.room.channel, permissions::SEND_MESSAGES);
    assert_eq!(hand.refused("POST", &format!("/channels/{}/messages", hand.room.channel), &json!({ "content": "x" })).await, (403, 50013));
    hand.discord.deny_bot(hand.room.channel, permissions::VIEW_CHANNEL);
    assert_eq!(hand.refused("PATCH", &path, &json!({ "content": "x" })).await, (403, 50001));
    assert!(hand.discord.invalid_requests() >= 3);
}

#[tokio::test]
async fn old_messages_take_few_edits() {
    let hand = Hand::new();
    let (_, card) = hand.post(&json!({ "content": "card" })).await;
    let path = format!("/channels/{}/messages/{}", hand.room.channel, card["id"].as_str().unwrap());
    hand.discord.advance(Duration::from_secs(3_700));
    for _ in 0..3 {
        assert_eq!(hand.ask("PATCH", &path, &json!({ "content": "x" })).await.0, 200);
    }
    assert_eq!(hand.refused("PATCH", &path, &json!({ "content": "x" })).await, (429, 30046));
}

#[tokio::test]
async fn buckets_empty_and_who_does_not_wait_breaks_a_rule() {
    let hand = Hand::new();
    for _ in 0..5 {
        assert_eq!(hand.post(&json!({ "content": "x" })).await.0, 200);
    }
    let (status, body) = hand.post(&json!({ "content": "x" })).await;
    assert_eq!((status, &body["global"], body["code"].is_null()), (429, &json!(false), true));
    assert!(hand.rules().is_empty(), "what crossed with the news is forgiven");
    hand.discord.advance(Duration::from_secs(1));
    assert_eq!(hand.post(&json!({ "content": "x" })).await.0, 429);
    assert_eq!(hand.rules(), [Rule::RetryAfter]);
    hand.discord.advance(Duration::from_secs(5));
    assert_eq!(hand.post(&json!({ "content": "x" })).await.0, 200);

    hand.discord.fail("GET", "/users/@me", Fault::GlobalLimited(2));
    let (status, body) = hand.ask("GET", "/users/@me", &Value::Null).await;
    assert_eq!((status, &body["global"]), (429, &json!(true)));
    assert_eq!(hand.ask("GET", "/users/@me", &Value::Null).await.0, 429);
    let alice = hand.discord.person(hand.room, "alice");
    let asked = alice.forge_slash(&json!({ "id": "1", "name": "x", "type": 1 })).unwrap();
    let answer = json!({ "type": 4, "data": { "content": "x" } });
    assert_eq!(hand.ask("POST", &callback(asked.id, &asked.token()), &answer).await.0, 204, "interactions do not count");
}

#[tokio::test]
async fn a_bad_token_and_too_many_refusals_end_everything() {
    let hand = Hand::new();
    hand.discord.set_invalid_max(3);
    hand.discord.revoke_token();
    assert_eq!(hand.ask("GET", "/users/@me", &Value::Null).await.0, 401);
    assert!(hand.rules().is_empty(), "one learns of it by a refusal");
    hand.discord.advance(Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(hand.ask("GET", "/users/@me", &Value::Null).await.0, 401);
    }
    assert_eq!(hand.rules(), [Rule::Token, Rule::Token, Rule::InvalidRequests]);
    assert_eq!(hand.ask("GET", "/gateway", &Value::Null).await.0, 429, "the address is banned");
}
