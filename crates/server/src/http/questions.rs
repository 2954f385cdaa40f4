//! Where questions are answered: on threads of their own, a few at a time.

use std::sync::Arc;

use engine::AskError;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::problem::Problem;

/// Questions answered at the same time; more wait for their turn.
const AT_A_TIME: usize = 16;

/// The threads that answer questions.
#[derive(Clone, Debug)]
pub(crate) struct Questions {
    threads: Handle,
    places: Arc<Semaphore>,
}

impl Questions {
    pub(crate) fn new(threads: Handle) -> Self {
        Self { threads, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Answers a question by reading.
    ///
    /// # Errors
    /// What the question says, and 500 when it did not come to an end.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place().await?;
        let answered = self.threads.spawn_blocking(move || {
            let _place = place;
            question()
        });
        Ok(answered.await.map_err(|error| Problem::internal(&error))??)
    }

    /// Answers a question by computing a table.
    ///
    /// # Errors
    /// As [`Questions::read`].
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, AskError>> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place().await?;
        let answered = self.threads.spawn(async move {
            let _place = place;
            question.await
        });
        Ok(answered.await.map_err(|error| Problem::internal(&error))??)
    }

    /// Reads for as long as somebody takes what is read: the pace is his, so it takes nobody's place.
    pub(crate) fn stream(&self, read: impl FnOnce() + Send + 'static) {
        self.threads.spawn_blocking(read);
    }

    async fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).acquire_owned().await.map_err(|error| Problem::internal(&error))
    }
}
