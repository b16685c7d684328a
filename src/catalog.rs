//! What tenants have declared: read from files and proven as a whole, then published to Postgres as one new generation.
//!
//! Files are what people edit, Postgres is what runs. `catalog check` is [`directory::read`]; `catalog apply` is that and
//! [`publication::apply`]. Nothing that has a problem anywhere is published anywhere.

/// What a catalog directory declares, as plain data.
pub mod declaration;
mod files;
mod tenant_file;
mod queues_file;
mod event_type_file;
mod examples;
/// From a directory of files to a declaration, or to all that is wrong with it.
pub mod directory;
/// From a declaration to a new generation in Postgres.
pub mod publication;
