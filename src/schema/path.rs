//! References by their text: the path of a file, and a place in it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Where a reference in a file points by its own text: the target's path and the fragment in it.
///
/// By the text, not by the rules for URIs, which clamp `..` at the root and so turn a climb into another tenant's directory into a path
/// that seems to lie in this one.
pub(super) fn resolve<'r>(file: &str, reference: &'r str) -> Result<(String, &'r str), String> {
    let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let refused =
        |why: &str| Err(format!("`{reference}` {why}; refer to a file of the same tenant, such as `../common/money.json#/$defs/price`."));
    let Some(path) = decoded(path) else { return refused("is percent-encoded, but not UTF-8") };
    if path.contains('\\') {
        return refused("has a backslash");
    }
    if path.starts_with("//") || path.contains(':') {
        return refused("is the `$id` of no schema of the tenant's, and nothing is ever fetched");
    }
    if path.starts_with('/') {
        return refused("is an absolute path");
    }
    if path.is_empty() {
        return Ok((file.to_owned(), fragment));
    }
    let mut segments: Vec<&str> = file.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            ".." if segments.pop().is_none() => return refused("leads out of the tenant's directory"),
            "." | ".." => {}
            _ => segments.push(segment),
        }
    }
    let target = segments.join("/");
    if !is_path(&target) {
        return refused("is not the path of a file, made of letters, digits and -._~$@+=,");
    }
    Ok((target, fragment))
}

/// Whether a text is a relative path that means the same to a file system and in a URI.
pub(super) fn is_path(path: &str) -> bool {
    path.split('/').all(|segment| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~$@+=,".contains(&byte))
    })
}

/// A path as a reference in a file spells it.
pub(super) fn relative(file: &str, target: &str) -> String {
    let directory: Vec<&str> = file.split('/').collect();
    let (directory, segments) = (&directory[..directory.len() - 1], target.split('/').collect::<Vec<_>>());
    let shared = directory.iter().zip(&segments[..segments.len() - 1]).take_while(|(left, right)| left == right).count();
    format!("{}{}", "../".repeat(directory.len() - shared), segments[shared..].join("/"))
}

/// A text as a URI's fragment or query spells it.
pub(super) fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A text without the percent-encoding that a URI needs; nothing where it is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}
