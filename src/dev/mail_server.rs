//! A mail server that keeps what it is sent, as far as SMTP is needed for that.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A mail that was taken.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Who gets it, as the envelope says.
    pub to: String,
    /// Headers and text.
    pub text: String,
}

/// What is answered to whoever names this recipient: 250 takes the mail.
pub type Answer = fn(&str) -> u16;

/// A running mail server.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    stop: CancellationToken,
}

impl MailServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(answer: Answer) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (mails, stop, tasks) = (Arc::<Mutex<Vec<Mail>>>::default(), CancellationToken::new(), TaskTracker::new());
        let (taken, ending) = (Arc::clone(&mails), stop.clone());
        tasks.clone().spawn(async move {
            let serving = async {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    };
                    let (taken, ending) = (Arc::clone(&taken), ending.clone());
                    tasks.spawn(async move { ending.run_until_cancelled(converse(stream, answer, &taken)).await });
                }
            };
            ending.run_until_cancelled(serving).await
        });
        Ok(Self { address, mails, stop })
    }

    /// What `SMTP_URL` has to be to reach it.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// What it was sent since this was last asked.
    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.mails.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn converse(stream: TcpStream, answer: Answer, mails: &Mutex<Vec<Mail>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 ready\r\n").await?;
    let mut to = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.to_ascii_uppercase();
        let reply = match command.get(..4) {
            Some("EHLO" | "HELO" | "MAIL" | "RSET" | "NOOP") => 250,
            Some("RCPT") => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                answer(&to)
            }
            Some("DATA") => {
                stream.write_all(b"354 go on\r\n").await?;
                let text = text(&mut stream).await?;
                mails.lock().unwrap_or_else(PoisonError::into_inner).push(Mail { to: std::mem::take(&mut to), text });
                250
            }
            Some("QUIT") => 221,
            _ => 502,
        };
        stream.write_all(format!("{reply} so it is\r\n").as_bytes()).await?;
    }
}

/// Up to the line that has a dot alone.
async fn text(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let begin = text.len();
        if stream.read_line(&mut text).await? == 0 || &text[begin..] == ".\r\n" {
            text.truncate(begin);
            return Ok(text);
        }
    }
}
