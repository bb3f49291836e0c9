//! Many questions over one TCP connection, several under way at once (RFC 7766 section 6.2.1.1).
//!
//! Knows nothing of why they are asked.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::names::Question;
use crate::cli::error::Error;
use crate::cli::query;
use crate::config::io_reason;

/// Questions under way at once: few enough that they fit any buffer while their answers are not taken yet.
pub(super) const AT_ONCE: usize = 32;
/// How long the answers to that many may take.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer, and its octets.
pub(super) type Answer = (Message, usize);

/// A connection to one server, made when it is first needed, and again if it broke.
pub(super) struct Asker {
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Asker {
    /// No connection is made yet.
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, stream: None }
    }

    /// The answers to at most [`AT_ONCE`] questions, in their order.
    pub(super) async fn ask(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let messages = questions
            .iter()
            .map(|(name, rtype)| Ok(query::question(query::name(name)?, *rtype)))
            .collect::<Result<Vec<_>, Error>>()?;
        // One that was idle may have been closed on us.
        let was_open = self.stream.is_some();
        match self.exchange(&messages).await {
            Err(_) if was_open => self.exchange(&messages).await,
            result => result,
        }
        .map_err(|error| query::away(self.server, &io_reason(&error)))
    }

    async fn exchange(&mut self, questions: &[Message]) -> io::Result<Vec<Answer>> {
        let taken = self.stream.take();
        let whole = async {
            let mut stream = match taken {
                Some(stream) => stream,
                None => BufReader::new(TcpStream::connect(self.server).await?),
            };
            let answers = exchange(&mut stream, questions).await?;
            Ok::<_, io::Error>((stream, answers))
        };
        let (stream, answers) = match timeout(ANSWERS_TIMEOUT, whole).await {
            Ok(result) => result?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        self.stream = Some(stream);
        Ok(answers)
    }
}

async fn exchange(
    stream: &mut BufReader<TcpStream>,
    questions: &[Message],
) -> io::Result<Vec<Answer>> {
    let mut sent = Vec::new();
    let mut waiting = HashMap::new();
    for (place, question) in questions.iter().enumerate() {
        let mut question = question.clone();
        // Ids of one exchange differ, however they were drawn.
        question.metadata.id = u16::try_from(place).map_err(io::Error::other)?;
        let octets = question.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
        sent.extend_from_slice(&length.to_be_bytes());
        sent.extend_from_slice(&octets);
        waiting.insert(question.metadata.id, question);
    }
    stream.write_all(&sent).await?;
    let mut answers = vec![None; questions.len()];
    while !waiting.is_empty() {
        let mut octets = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut octets).await?;
        let answer = Message::from_vec(&octets).map_err(io::Error::other)?;
        let id = answer.metadata.id;
        let question = waiting.remove(&id);
        let place = answers.get_mut(usize::from(id));
        let (Some(question), Some(place)) = (question, place) else {
            return Err(io::Error::other("it answers what nobody asked"));
        };
        if !query::is_reply(&answer, &question) {
            return Err(io::Error::other("what it sent is no answer to the question"));
        }
        *place = Some((answer, octets.len()));
    }
    Ok(answers.into_iter().flatten().collect())
}
