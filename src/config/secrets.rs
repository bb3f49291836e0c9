//! Secrets in files: tokens and passwords, one a file.
//!
//! Knows nothing of who uses them.

use std::path::Path;

use super::problem::io_reason;

/// A secret as read.
pub struct Secret {
    /// The secret itself, without the white space around it.
    pub text: String,
    /// What is unwise about its file.
    pub warning: Option<String>,
}

/// How a secret is read, by what it has to look like.
pub(super) type Read = fn(&Path) -> Result<Secret, String>;

/// Longest secret, in octets: it has to fit a header.
const SECRET_OCTETS_MAX: u64 = 4_096;

/// Reads the secret that a file holds.
///
/// # Errors
/// Why there is none in it, and what to do, in words that follow the file's name.
pub fn read_secret(path: &Path) -> Result<Secret, String> {
    let secret = read_text(path)?;
    if secret.text.is_empty() {
        return Err("is empty: put a secret into it, such as 'openssl rand -hex 32' makes".into());
    }
    if !secret.text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("has a space or an unprintable character inside the secret: \
                    a secret is one line of printable ASCII without spaces"
            .into());
    }
    Ok(secret)
}

/// Reads a file that holds a secret of a form of its own, whatever it is.
pub(super) fn read_text(path: &Path) -> Result<Secret, String> {
    let unreadable = |error| {
        format!("{}: give a file that holds the secret and nothing else", io_reason(&error))
    };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if about.len() > SECRET_OCTETS_MAX {
        let octets = about.len();
        return Err(format!(
            "is {octets} octets long, at most {SECRET_OCTETS_MAX} are allowed: give a file that holds the secret and nothing else"
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(Secret { text: text.trim().to_owned(), warning: world_readable(&about) })
}

/// What to say of a secret's file that everybody can read.
#[cfg(unix)]
pub(super) fn world_readable(about: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let readable = about.permissions().mode() & 0o004 != 0;
    readable.then(|| "can be read by everyone on this machine: run 'chmod 600' on it".into())
}

#[cfg(not(unix))]
pub(super) fn world_readable(_: &std::fs::Metadata) -> Option<String> {
    None
}
