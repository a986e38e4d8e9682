//! One websocket: hello, frames in and out in order, the client's heartbeat, and closing so that the other side sees it.

use super::super::refusal::Rule;
use super::super::server::Shared;
use super::frames::Packing;
use super::receive::Came;
use super::{Out, Trouble};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

/// After closing, the other side gets this long for its own close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Upgrades to the gateway.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Query(wish): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refused = shared.with(|state| match &mut state.sessions.trouble.refuse {
        Some((left, status)) if *left > 0 => {
            *left -= 1;
            Some(*status)
        }
        _ => None,
    });
    if let Some(status) = refused {
        return StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY).into_response();
    }
    let compress = wish.get("compress").map(String::as_str);
    if wish.get("encoding").is_some_and(|encoding| encoding != "json") || compress.is_some_and(|kind| kind != "zlib-stream") {
        shared.with(|state| state.breaks(Rule::Gateway, format!("this server speaks json, plain or zlib-stream: {wish:?}")));
        return StatusCode::BAD_REQUEST.into_response();
    }
    let packing = if compress.is_some() { Packing::stream() } else { Packing::Plain };
    let version = wish.get("v").cloned();
    upgrade.on_upgrade(move |socket| async move {
        let (sender, orders) = unbounded_channel();
        let (number, trouble) = shared.changing(|state| {
            state.sessions.connections += 1;
            state.sessions.live.insert(state.sessions.connections, sender);
            (state.sessions.connections, state.sessions.trouble.clone())
        });
        let mut connection = Connection { socket, packing, number, shared: shared.clone(), heard: Instant::now() };
        let code = match version.as_deref() {
            Some("10") => connection.run(orders, &trouble).await,
            _ => connection.close(Some(4012)).await,
        };
        shared.changing(|state| state.gone(number, code));
    })
}

struct Connection {
    socket: WebSocket,
    packing: Packing,
    number: u64,
    shared: Arc<Shared>,
    /// When the client's heart was heard last.
    heard: Instant,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed, with a code or without.
    ByClient(Option<u16>),
    /// We closed.
    ByServer(Option<u16>),
    /// The line is dead.
    Lost,
}

impl Connection {
    async fn run(&mut self, mut orders: UnboundedReceiver<Out>, trouble: &Trouble) -> End {
        if trouble.silent {
            return self.listen_only(orders).await;
        }
        let hello = json!({ "op": 10, "d": { "heartbeat_interval": trouble.heartbeat.as_millis(), "_trace": [] } });
        if self.send(Out::Frame(hello.to_string())).await.is_some() {
            return End::Lost;
        }
        // A client that is two beats late is dead.
        let patience = trouble.heartbeat * 2 + Duration::from_secs(1);
        loop {
            let ended = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.send(order).await,
                    None => Some(End::Lost),
                },
                frame = self.socket.recv() => self.take(frame).await,
                () = tokio::time::sleep_until(self.heard + patience) => {
                    // Who gets no answers may give the line up instead.
                    self.shared.with(|state| {
                        if !state.sessions.trouble.no_acks {
                            state.breaks(Rule::Heartbeat, format!("no heartbeat for {patience:?}"));
                        }
                    });
                    Some(self.close(Some(4009)).await)
                }
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    async fn listen_only(&mut self, mut orders: UnboundedReceiver<Out>) -> End {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Out::Cut) | None => return End::Lost,
                    Some(Out::Close(code)) => return self.close(code).await,
                    Some(_) => {}
                },
                frame = self.socket.recv() => match frame {
                    None | Some(Err(_)) => return End::Lost,
                    Some(Ok(Message::Close(frame))) => return End::ByClient(frame.map(|frame| frame.code)),
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    /// Sends; `Some` when that was the end.
    async fn send(&mut self, out: Out) -> Option<End> {
        let message = match out {
            Out::Frame(text) => self.packing.pack(text),
            Out::RawText(text) => Message::Text(text.into()),
            Out::RawBinary(bytes) => Message::Binary(bytes.into()),
            Out::Close(code) => return Some(self.close(code).await),
            Out::Cut => return Some(End::Lost),
        };
        self.socket.send(message).await.is_err().then_some(End::Lost)
    }

    async fn take(&mut self, frame: Option<Result<Message, axum::Error>>) -> Option<End> {
        let bytes = match frame {
            None | Some(Err(_)) => return Some(End::Lost),
            Some(Ok(Message::Close(frame))) => {
                // Once more, so that our own close frame gets out.
                let _ = timeout(CLOSE_WAIT, self.socket.recv()).await;
                return Some(End::ByClient(frame.map(|frame| frame.code)));
            }
            Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
            Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return None,
        };
        let came = self.shared.changing(|state| state.receive(self.number, &bytes));
        match came {
            Came::Fine => None,
            Came::Beat => {
                self.heard = Instant::now();
                None
            }
            Came::Compressed => {
                if matches!(self.packing, Packing::Plain) {
                    self.packing = Packing::Payload;
                }
                None
            }
            Came::Close(code) => Some(self.close(Some(code)).await),
        }
    }

    async fn close(&mut self, code: Option<u16>) -> End {
        let frame = code.map(|code| CloseFrame { code, reason: reason(code).into() });
        if self.socket.send(Message::Close(frame)).await.is_ok() {
            let all = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _ = timeout(CLOSE_WAIT, all).await;
        }
        End::ByServer(code)
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        4001 => "Unknown opcode.",
        4002 => "Error while decoding payload.",
        4003 => "Not authenticated.",
        4004 => "Authentication failed.",
        4005 => "Already authenticated.",
        4007 => "Invalid seq.",
        4008 => "Rate limited.",
        4009 => "Session timed out.",
        4010 => "Invalid shard.",
        4011 => "Sharding required.",
        4012 => "Invalid API version.",
        4013 => "Invalid intent(s).",
        4014 => "Disallowed intent(s).",
        _ => "",
    }
}
