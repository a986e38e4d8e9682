//! Independent clients get on with the server: what they take and send is what the real Discord takes and sends.

use serenity::all::{
    ActionRowComponent, AutocompleteChoice, ButtonStyle, ClientBuilder, CommandInteraction, CommandOptionType, ComponentInteraction,
    Context, CreateActionRow, CreateAllowedMentions, CreateAutocompleteResponse, CreateButton, CreateCommand, CreateCommandOption,
    CreateEmbed, CreateInputText, CreateInteractionResponse, CreateInteractionResponseFollowup, CreateInteractionResponseMessage,
    CreateMessage, CreateModal, EditInteractionResponse, EventHandler, GatewayIntents, GuildId, InputTextStyle, Interaction,
    ModalInteraction, Nonce, Ready,
};
use serenity::async_trait;
use serenity::http::HttpBuilder;
use std::time::Duration;
use tidegate_tests::discord::{Discord, Room, Slash};
use tokio::task::JoinHandle;

/// A client must be there in this time.
const LIMIT: Duration = Duration::from_secs(20);

/// A bot that uses everything once.
struct Sampler {
    room: Room,
}

#[async_trait]
impl EventHandler for Sampler {
    async fn ready(&self, context: Context, _: Ready) {
        let reason = CreateCommandOption::new(CommandOptionType::String, "reason", "Why");
        let stack = CreateCommandOption::new(CommandOptionType::String, "stack", "Which").required(true).set_autocomplete(true);
        let commands = vec![
            CreateCommand::new("rollback").description("Go back").add_option(stack).add_option(reason),
            CreateCommand::new("slow").description("Takes its time"),
        ];
        GuildId::new(self.room.guild.0).set_commands(&context.http, commands).await.unwrap();
    }

    async fn interaction_create(&self, context: Context, interaction: Interaction) {
        match interaction {
            Interaction::Command(command) if command.data.name == "slow" => slow(&context, &command).await,
            Interaction::Command(command) => ask(&context, &command).await,
            Interaction::Autocomplete(typing) => {
                let typed = typing.data.autocomplete().unwrap().value.to_owned();
                let choices = vec![AutocompleteChoice::new(format!("{typed} · 3 h ago"), format!("{typed}-id"))];
                let answer = CreateInteractionResponse::Autocomplete(CreateAutocompleteResponse::new().set_choices(choices));
                typing.create_response(&context.http, answer).await.unwrap();
            }
            Interaction::Component(pressed) if pressed.data.custom_id == "why" => open_modal(&context, &pressed).await,
            Interaction::Component(pressed) => confirm(&context, &pressed).await,
            Interaction::Modal(filled) => thank(&context, &filled).await,
            _ => panic!("a kind of interaction that nobody sent"),
        }
    }
}

fn nobody() -> CreateAllowedMentions {
    CreateAllowedMentions::new()
}

async fn slow(context: &Context, command: &CommandInteraction) {
    command.defer_ephemeral(&context.http).await.unwrap();
    command.edit_response(&context.http, EditInteractionResponse::new().content("done").allowed_mentions(nobody())).await.unwrap();
    let more = CreateInteractionResponseFollowup::new().content("and more").ephemeral(true).allowed_mentions(nobody());
    command.create_followup(&context.http, more).await.unwrap();
}

async fn ask(context: &Context, command: &CommandInteraction) {
    let buttons = vec![
        CreateButton::new("roll:1").label("Roll back").style(ButtonStyle::Danger),
        CreateButton::new("why").label("Why").style(ButtonStyle::Secondary),
    ];
    let stack = command.data.options[0].value.as_str().unwrap().to_owned();
    let message = CreateInteractionResponseMessage::new().content(format!("Roll back {stack}?")).ephemeral(true).allowed_mentions(nobody());
    let message = message.components(vec![CreateActionRow::Buttons(buttons)]);
    command.create_response(&context.http, CreateInteractionResponse::Message(message)).await.unwrap();
}

async fn confirm(context: &Context, pressed: &ComponentInteraction) {
    let message = CreateInteractionResponseMessage::new().content("Rolling back").components(Vec::new()).allowed_mentions(nobody());
    pressed.create_response(&context.http, CreateInteractionResponse::UpdateMessage(message)).await.unwrap();
    let embed = CreateEmbed::new().title("Release 44").field("shop", "1.8.2 → 1.8.1", false);
    for _twice in 0..2 {
        let card = CreateMessage::new()
            .embed(embed.clone())
            .allowed_mentions(nobody())
            .nonce(Nonce::String("44-card".to_owned()))
            .enforce_nonce(true);
        pressed.channel_id.send_message(&context.http, card).await.unwrap();
    }
}

async fn open_modal(context: &Context, pressed: &ComponentInteraction) {
    let input = CreateInputText::new(InputTextStyle::Paragraph, "Reason", "reason").max_length(300);
    let modal = CreateModal::new("reason:1", "Why?").components(vec![CreateActionRow::InputText(input)]);
    pressed.create_response(&context.http, CreateInteractionResponse::Modal(modal)).await.unwrap();
}

async fn thank(context: &Context, filled: &ModalInteraction) {
    let ActionRowComponent::InputText(input) = &filled.data.components[0].components[0] else { panic!("no text") };
    let text = format!("Because: {}", input.value.as_deref().unwrap_or_default());
    let message = CreateInteractionResponseMessage::new().content(text).allowed_mentions(nobody());
    filled.create_response(&context.http, CreateInteractionResponse::Message(message)).await.unwrap();
}

/// The real serenity, pointed at the server.
async fn sampler(discord: &Discord, room: Room) -> JoinHandle<()> {
    let http = HttpBuilder::new(discord.token()).proxy(discord.base()).ratelimiter_disabled(true).build();
    let mut client = ClientBuilder::new_with_http(http, GatewayIntents::GUILDS).event_handler(Sampler { room }).await.unwrap();
    assert_eq!(*client.ws_url.lock().await, discord.gateway_url());
    let running = tokio::spawn(async move { client.start().await.unwrap() });
    discord.wait(LIMIT, "commands", |discord| (!discord.commands(room.guild).is_empty()).then_some(())).await.unwrap();
    running
}

/// What both clients are asked, and answer alike.
async fn conversation(discord: &Discord, room: Room) {
    let alice = discord.person(room, "alice");
    let choices = alice.types(&Slash::of("/rollback").with("stack", "sh"), "stack").unwrap().choices().await.unwrap();
    assert_eq!(choices, [("sh · 3 h ago".to_owned(), "sh-id".into())]);

    let asked = alice.says("/rollback stack:shop").unwrap().answer().await.unwrap();
    assert_eq!((asked.text().as_str(), asked.private_to), ("Roll back shop?\n[Roll back] [Why]", Some(alice.user)));

    let modal = alice.press(&asked, "Why").unwrap().modal().await.unwrap();
    let field = modal.fields()[0].clone();
    let thanked = alice.submits(&modal, &[(&field, "the prices are wrong")]).unwrap().answer().await.unwrap();
    assert_eq!((thanked.text().as_str(), thanked.is_public()), ("Because: the prices are wrong", true));

    let confirmed = alice.press(&asked, "Roll back").unwrap().answer().await.unwrap();
    assert_eq!((confirmed.id, confirmed.text().as_str()), (asked.id, "Rolling back"));
    discord.wait_message(room.channel, "the card", |seen| seen.text().contains("1.8.2 → 1.8.1")).await.unwrap();

    let slow = alice.says("/slow").unwrap();
    assert_eq!(slow.answer().await.unwrap().text(), "done");
    assert_eq!((slow.ack().await.unwrap().kind, slow.followup().await.unwrap().text()), (5, "and more".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn serenity_takes_commands_buttons_modals_and_completions_plain_and_compressed() {
    for plain in [true, false] {
        let discord = Discord::start();
        let room = discord.add_room("Example", "releases");
        if plain {
            discord.gateway().send_plain();
        }
        let client = sampler(&discord, room).await;
        conversation(&discord, room).await;
        discord.wait(LIMIT, "both posts", |discord| (discord.calls_of("POST", "/messages").len() == 2).then_some(())).await.unwrap();
        assert_eq!(discord.messages(room.channel).len(), 2, "a nonce posts once");

        discord.assert_obeyed();
        client.abort();
    }
}

/// discord.py as a process of its own; ends with the test.
struct Python(tokio::process::Child);

impl Python {
    fn start(discord: &Discord, room: Room) -> Python {
        let packages = std::env::var_os("TIDEGATE_TEST_DISCORD_PY").expect("TIDEGATE_TEST_DISCORD_PY; run the tests with tests/run.sh");
        let mut command = tokio::process::Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/discord/peer.py"));
        command.args([discord.base().trim_start_matches("http://"), &discord.token(), &room.guild.to_string()]);
        command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
        Python(command.spawn().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_py_logs_in_syncs_commands_answers_and_resumes() {
    let discord = Discord::start();
    let room = discord.add_room("Example", "releases");
    let mut python = Python::start(&discord, room);
    discord
        .wait(LIMIT, "commands and a session", |discord| {
            (discord.commands(room.guild).len() == 2 && discord.gateway().connected()).then_some(())
        })
        .await
        .unwrap();
    conversation(&discord, room).await;
    let edited = discord.wait_message(room.channel, "the edited card", |seen| seen.content == "live").await.unwrap();
    let thread = edited.thread.unwrap();
    assert_eq!(discord.messages(thread)[0].text(), "wave 1");

    // Op 7, a lost line and a session to be taken up again: what happened in between arrives.
    let alice = discord.person(room, "bob");
    for (times, trouble) in [(1, 7), (2, 0), (3, 9)] {
        match trouble {
            7 => discord.gateway().reconnect(),
            9 => discord.gateway().invalid_session(true),
            _ => discord.gateway().cut(),
        }
        discord.wait(LIMIT, "the line is gone", |discord| (discord.gateway().closes().len() >= times).then_some(())).await.unwrap();
        let asked = alice.says("/slow").unwrap();
        assert_eq!(asked.answer().await.unwrap().text(), "done", "after trouble {trouble}");
    }
    assert_eq!((discord.gateway().identifies(), discord.gateway().resumes()), (1, 3));
    let broken = discord.broken();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(discord.invalid_requests(), 0);
    python.0.kill().await.unwrap();
}
