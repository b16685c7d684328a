//! Who runs a command that changes something.

use clap::Args;

/// Who runs a command that changes something.
#[derive(Debug, Clone, Args)]
pub struct OperatorSettings {
    /// Who is written into `audit` as the operator; without it the system's user.
    #[arg(long, env = "OPERATOR", value_name = "NAME")]
    pub operator: Option<String>,
}

impl OperatorSettings {
    /// The name, cut where it is too long for one.
    pub fn name(&self) -> String {
        let given = self.operator.as_deref().map(str::trim).filter(|name| !name.is_empty());
        given.map_or_else(system_user, |name| name.chars().take(100).collect())
    }
}

/// The name of the process's user; its number where it has no name, as in a container.
pub fn system_user() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}
