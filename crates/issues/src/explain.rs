//! What a fingerprint is made of, as data: the answer to "why are these together?".

use serde::Serialize;

/// Which way to the fingerprint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The client gave it.
    Client,
    /// The type of the exception and the functions that were being called.
    Frames,
    /// An exception without usable frames: its type and its message.
    Exception,
    /// What a log line says.
    Message,
    /// An answer of 500 or above, with nothing else.
    Answer,
}

/// What one part of a fingerprint is. The numbers are hashed: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A part of the client's fingerprint.
    Client = 1,
    /// The type of an exception; the one that was not caught first.
    Type = 2,
    /// A function of the application, the innermost first.
    Function = 3,
    /// What the innermost of them called in code of others.
    Called = 4,
    /// A message without its values.
    Message = 5,
    /// The module that logged it.
    Logger = 6,
    /// The name of the event.
    Event = 7,
    /// The status of the answer.
    Status = 8,
    /// The method of the request.
    Method = 9,
    /// The route of the request.
    Route = 10,
}

/// One part of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its value as it was hashed.
    pub value: String,
}

/// What a frame did for the fingerprint, or why it did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its function is a part.
    Counted,
    /// It is what the application called: a part beside the application's own functions.
    Called,
    /// It is code of others, and the application's own says more.
    NotInApp,
    /// The runtime put it there: a panic handler, a proxy, a wrapper.
    Machinery,
    /// It has no name that outlives a build.
    Nameless,
    /// Its function was there already: recursion.
    Repeated,
    /// Enough functions nearer to the error were counted.
    TooFar,
}

/// One frame and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameUse {
    /// The function as it was sent.
    pub function: String,
    /// The file or module as it was sent.
    pub place: String,
    /// The name that is compared.
    pub name: String,
    /// Whether it is the application's own.
    pub in_app: bool,
    /// What it did.
    pub role: Role,
}

/// All that made a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The fingerprint.
    pub fingerprint: String,
    /// The version of the algorithm, which stands at its begin.
    pub version: u32,
    /// The way that was taken.
    pub basis: Basis,
    /// What an issue of it is called.
    pub title: String,
    /// Where it happened.
    pub culprit: String,
    /// What was hashed, in this order.
    pub parts: Vec<Part>,
    /// Every frame of the exception, where it was raised last.
    pub frames: Vec<FrameUse>,
}
