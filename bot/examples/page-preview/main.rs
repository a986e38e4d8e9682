//! Serves the page with made-up data, so that anyone can look at it: `cargo run -p tidegate-bot --example page-preview`.
//! Buttons and the console answer, and change what is shown, but nothing is behind them.

mod sample;

use jiff::Timestamp;
use std::sync::Arc;
use tidegate_bot::http::{Limits, serve};
use tidegate_bot::page::{Page, Settings, router};
use tidegate_bot::request::{Reply, Request};
use tidegate_bot::view::View;
use tokio::sync::{mpsc, oneshot, watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9191".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let (writer, view) = watch::channel(Arc::new(sample::view(Timestamp::now())));
    let (desk, requests) = mpsc::channel(16);
    let settings = Settings::default();
    let stop = settings.stop.clone();
    #[expect(clippy::print_stderr, reason = "the example's only message")]
    {
        eprintln!("The page with made-up data: http://{}/", listener.local_addr()?);
    }
    let pretending = tokio::spawn(pretend(requests, writer));
    let serving = tokio::spawn(serve(listener, router(Page::new(view, desk, settings)), Limits::default(), stop.clone()));
    let interrupted = tokio::signal::ctrl_c().await;
    stop.cancel();
    pretending.abort();
    serving.await.map_err(std::io::Error::other)?;
    interrupted
}

async fn pretend(mut requests: mpsc::Receiver<(Request, oneshot::Sender<Reply>)>, view: watch::Sender<Arc<View>>) {
    while let Some((request, reply)) = requests.recv().await {
        let mut next = View::clone(&view.borrow());
        let answer = sample::answer(&mut next, &request);
        view.send_replace(Arc::new(next));
        // Whoever asked may have gone away.
        let _ = reply.send(answer);
    }
}
