//! `processor client` and `processor tenant`.

use clap::{Args, Subcommand};
use event_processor::client::{CLIENTS_HEAD, State, Subject, TENANTS_HEAD, list_clients, list_tenants, set_state};
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, OperatorSettings};

use crate::reader::{self, ReaderSettings};
use crate::{Failure, audit, connect, print_json};

#[derive(Subcommand)]
pub enum ClientCommand {
    /// List clients: in which state each is, and how many deliveries wait for it.
    List(ListSettings),
    /// Let deliveries to a client wait, until it is resumed. Its events are stored all the same, and what is under way is finished.
    Pause(ClientSettings),
    /// Deliver to a client again that was paused or disabled, beginning with what has waited.
    Resume(ClientSettings),
    /// Let deliveries to a client wait that is gone. As `pause`, but told apart from it in lists.
    Disable(ClientSettings),
}

#[derive(Subcommand)]
pub enum TenantCommand {
    /// List tenants: in which state each is, what it brought in the last hour, what was wrong with it, and how many deliveries wait.
    List(TenantListSettings),
    /// Show how a tenant is: its last hour by event type, its problems, its rate, its clients. Figures of the last hour are some seconds old.
    Show(TenantShowSettings),
    /// Let all deliveries of a tenant wait, until it is resumed. Its events are stored all the same, and what is under way is finished.
    Pause(TenantSettings),
    /// Deliver again, to those of its clients that are active themselves.
    Resume(TenantSettings),
    /// Let a role of Postgres read this tenant's rows in every table, and no other tenant's. `revoke-reader` takes it back.
    GrantReader(ReaderSettings),
    /// Keep this tenant's rows from a role that read them.
    RevokeReader(ReaderSettings),
}

#[derive(Args)]
pub struct ListSettings {
    /// Only clients of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct TenantListSettings {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct TenantShowSettings {
    /// Which tenant.
    tenant: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct ClientSettings {
    /// Whose client.
    tenant: String,
    /// Which client.
    client: String,
    #[command(flatten)]
    common: ChangeSettings,
}

#[derive(Args)]
pub struct TenantSettings {
    /// Which tenant.
    tenant: String,
    #[command(flatten)]
    common: ChangeSettings,
}

#[derive(Args)]
struct ChangeSettings {
    /// Why; lists tell it.
    #[arg(long, value_name = "TEXT", value_parser = parse_because)]
    because: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

pub async fn run(command: ClientCommand) -> Result<(), Failure> {
    let (settings, state, name) = match command {
        ClientCommand::List(settings) => return list(settings).await,
        ClientCommand::Pause(settings) => (settings, State::Paused, "client pause"),
        ClientCommand::Resume(settings) => (settings, State::Active, "client resume"),
        ClientCommand::Disable(settings) => (settings, State::Disabled, "client disable"),
    };
    let subject = Subject { tenant_id: settings.tenant, client_id: Some(settings.client) };
    change(subject, state, name, settings.common).await
}

pub async fn run_tenant(command: TenantCommand) -> Result<(), Failure> {
    let (settings, state, name) = match command {
        TenantCommand::List(settings) => return print_tenants(settings).await,
        TenantCommand::Show(settings) => return show_tenant(settings).await,
        TenantCommand::GrantReader(settings) => return reader::grant(settings).await,
        TenantCommand::RevokeReader(settings) => return reader::revoke(settings).await,
        TenantCommand::Pause(settings) => (settings, State::Paused, "tenant pause"),
        TenantCommand::Resume(settings) => (settings, State::Active, "tenant resume"),
    };
    change(Subject { tenant_id: settings.tenant, client_id: None }, state, name, settings.common).await
}

async fn change(subject: Subject, state: State, name: &'static str, settings: ChangeSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let audit = audit(&settings.operator, name);
    let before = set_state(&mut connection, &subject, state, settings.because.as_deref(), &audit).await?;
    let Subject { tenant_id, client_id } = subject;
    let Some(before) = before else { return Err(unknown(&tenant_id, client_id.as_deref())) };
    let state = state.as_str();
    if settings.json {
        return print_json(&serde_json::json!({ "tenant_id": tenant_id, "client_id": client_id, "before": before, "state": state }));
    }
    let subject = client_id.map_or_else(|| format!("tenant {tenant_id}"), |client_id| format!("client {client_id} of tenant {tenant_id}"));
    if before == state {
        print(format_args!("{subject} is {state}, as it was"));
    } else {
        print(format_args!("{subject} is {state} now; it was {before}"));
    }
    Ok(())
}

fn unknown(tenant_id: &str, client_id: Option<&str>) -> Failure {
    let sentence = match client_id {
        Some(client_id) => {
            format!("tenant {tenant_id:?} has no client {client_id:?}; `processor client list --tenant {tenant_id}` shows which there are")
        }
        None => format!("there is no tenant {tenant_id:?}; `processor tenant list` shows which there are"),
    };
    Failure { sentence, status: 65 }
}

async fn list(settings: ListSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let clients = list_clients(&mut connection, settings.tenant.as_deref()).await?;
    if settings.json {
        return print_json(&clients);
    }
    print_lines(CLIENTS_HEAD, "no clients", &clients);
    Ok(())
}

async fn print_tenants(settings: TenantListSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let tenants = list_tenants(&mut connection, None).await?;
    if settings.json {
        return print_json(&tenants);
    }
    print_lines(TENANTS_HEAD, "no tenants", &tenants);
    Ok(())
}

async fn show_tenant(settings: TenantShowSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let tenants = list_tenants(&mut connection, Some(&settings.tenant)).await?;
    let Some(tenant) = tenants.first() else { return Err(unknown(&settings.tenant, None)) };
    let clients = list_clients(&mut connection, Some(&settings.tenant)).await?;
    if settings.json {
        return print_json(&serde_json::json!({ "tenant": tenant, "clients": clients }));
    }
    print_lines(TENANTS_HEAD, "", std::slice::from_ref(tenant));
    print("");
    print(tenant.details());
    print_lines(CLIENTS_HEAD, "no clients", &clients);
    Ok(())
}

fn print_lines(head: &str, none: &str, lines: &[impl std::fmt::Display]) {
    if lines.is_empty() {
        return print(none);
    }
    print(head);
    lines.iter().for_each(print);
}

fn parse_because(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1_000 || text.contains('\0') {
        return Err("say why in 1-1000 bytes".to_owned());
    }
    Ok(text.to_owned())
}
