//! Postgres in a container, where there are no binaries.

use anyhow::{Context, Result};
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use uuid::Uuid;

use std::time::Duration;

/// An engine on this machine answers at once; one that is configured but away must not hold up the start.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(3);
/// The first start also fetches the image.
const START_TIMEOUT: Duration = Duration::from_mins(5);
const PORT: u16 = 5432;

/// A running container. What it holds goes with it; a kill of our process leaves it running (`docker rm -f` ends it).
#[derive(Debug)]
pub struct Container {
    container: ContainerAsync<GenericImage>,
    address: String,
}

impl Container {
    /// Start one; none when no container engine answers.
    ///
    /// # Errors
    /// When the engine answers but cannot fetch or start the image.
    pub async fn start() -> Result<Option<Self>> {
        if !engine_answers().await {
            return Ok(None);
        }
        // The engine publishes the port on every interface, so a password it is, and not one to guess.
        let password = Uuid::now_v7().simple().to_string();
        let container = GenericImage::new("postgres", "16-alpine")
            .with_exposed_port(PORT.tcp())
            // The server that only runs the image's first steps writes this to standard output instead.
            .with_wait_for(WaitFor::message_on_stderr("database system is ready to accept connections"))
            .with_env_var("POSTGRES_PASSWORD", &password)
            .with_startup_timeout(START_TIMEOUT)
            .start()
            .await
            .context("failed to start the container postgres:16-alpine; `docker run --rm postgres:16-alpine` may say more")?;
        let host = container.get_host().await.context("failed to ask the container engine for its host")?;
        let port = container.get_host_port_ipv4(PORT).await.context("failed to ask the container engine for Postgres's port")?;
        Ok(Some(Self { container, address: format!("postgres:{password}@{host}:{port}") }))
    }

    /// The address of one of its databases, as the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}/{database}", self.address)
    }

    /// Stop and remove it.
    ///
    /// # Errors
    /// When the engine does not.
    pub async fn stop(self) -> Result<()> {
        let id = self.container.id().to_owned();
        self.container.rm().await.with_context(|| format!("failed to remove the container; `docker rm -f {id}` does"))
    }
}

async fn engine_answers() -> bool {
    match docker_client_instance().await {
        Ok(engine) => engine.with_timeout(ENGINE_TIMEOUT).ping().await.is_ok(),
        Err(_) => false,
    }
}
