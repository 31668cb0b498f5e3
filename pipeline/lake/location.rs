//! Where a lake is: a `file://` URL or a plain path.

use std::path::{Path, PathBuf};

use url::Url;

#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error(
        "lake {text:?}: this build has no storage for {scheme}://; give a folder, such as ./lake or file:///var/lib/callweave/lake"
    )]
    Scheme { text: String, scheme: String },
    #[error("lake {text:?} is not a URL or a path: {reason}")]
    Malformed { text: String, reason: String },
    #[error(
        "there is no lake at {path}: the folder does not exist; check --lake, or let `callweave up` or `callweave run` make it"
    )]
    Missing { path: PathBuf },
    #[error("lake {path} is a file, not a folder; choose another --lake")]
    NotAFolder { path: PathBuf },
    #[error(
        "lake {path}: what reads tables takes a backslash, and a per cent sign before two digits (%20), for another character; choose a folder \
         without"
    )]
    Name { path: PathBuf },
    #[error("the lake's folder {path} cannot be made or reached: {source}; check the path and who may write there")]
    Folder { path: PathBuf, source: std::io::Error },
}

/// The folder that `text` names: `file:///x`, `/x`, `./x` or `x`.
pub fn folder(text: &str) -> Result<PathBuf, UrlError> {
    let malformed = |reason: String| UrlError::Malformed { text: text.to_owned(), reason };
    if text.is_empty() {
        return Err(malformed("it is empty".into()));
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return std::path::absolute(text).map_err(|error| malformed(error.to_string()));
    };
    if scheme != "file" {
        return Err(UrlError::Scheme { text: text.to_owned(), scheme: scheme.to_owned() });
    }
    let url = Url::parse(text).map_err(|error| malformed(error.to_string()))?;
    url.to_file_path().map_err(|()| malformed("a file URL has no host and an absolute path: file:///x".into()))
}

/// The folder as a URL that ends with a slash. With `create`, the folder is made, durably, where it is missing.
pub fn resolve(text: &str, create: bool) -> Result<Url, UrlError> {
    let path = folder(text)?;
    if is_misread(&path) {
        return Err(UrlError::Name { path });
    }
    if create {
        super::durable::create_folders(&path).map_err(|source| UrlError::Folder { path: path.clone(), source })?;
    }
    let path = match path.canonicalize() {
        Ok(path) if path.is_dir() => path,
        Ok(path) => return Err(UrlError::NotAFolder { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(UrlError::Missing { path }),
        Err(source) => return Err(UrlError::Folder { path, source }),
    };
    of_folder(&path).ok_or_else(|| UrlError::Malformed { text: text.to_owned(), reason: "it is not absolute".into() })
}

/// Delta's kernel decodes a path once more than it was encoded.
fn is_misread(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let is_escape = |at: &[u8]| at[0] == b'%' && at[1].is_ascii_hexdigit() && at[2].is_ascii_hexdigit();
    text.contains(&b'\\') || text.windows(3).any(is_escape)
}

fn of_folder(path: &Path) -> Option<Url> {
    Url::from_directory_path(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_from_urls_and_paths() {
        let here = std::env::current_dir().unwrap_or_default();
        for (text, expected) in [
            ("/x/y", Some(PathBuf::from("/x/y"))),
            ("file:///x/y", Some(PathBuf::from("/x/y"))),
            ("file:///x%20y/", Some(PathBuf::from("/x y/"))),
            ("./x", Some(here.join("x"))),
            ("x", Some(here.join("x"))),
            ("", None),
            ("s3://bucket/x", None),
            ("file://host/x", None),
        ] {
            assert_eq!(folder(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_storage_that_is_not_built_in_is_named() {
        let error = resolve("s3://bucket/lake", true).map(|_| ()).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("s3://") && text.contains("give a folder")));
    }

    #[test]
    fn a_folder_is_made_only_if_asked() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a b/c");
        let text = path.to_string_lossy();
        assert!(matches!(resolve(&text, false), Err(UrlError::Missing { .. })));
        let url = resolve(&text, true)?;
        assert!(url.path().ends_with("/a%20b/c/"), "{url}");
        for name in ["a%20b", "a\\b"] {
            let text = path.join(name).to_string_lossy().into_owned();
            assert!(matches!(resolve(&text, true), Err(UrlError::Name { .. })), "{text}");
            assert!(!Path::new(&text).exists(), "{text}");
        }
        assert!(resolve(&format!("{text}/100%"), true).is_ok());
        std::fs::write(path.join("file"), "")?;
        assert!(matches!(resolve(&format!("{text}/file"), false), Err(UrlError::NotAFolder { .. })));
        Ok(())
    }
}
