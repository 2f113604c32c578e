//! Data of a kubeconfig that is inline in base64 or in a file.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Reason for which data cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error("the data is not base64: {0}")]
    Base64(base64::DecodeError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Returns the inline data, else the contents of the file, else nothing. Line breaks and blanks in base64 do not count.
pub(crate) fn read(inline: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, DataError> {
    if let Some(inline) = inline {
        let plain: Vec<u8> = inline
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        return STANDARD.decode(plain).map(Some).map_err(DataError::Base64);
    }
    let Some(file) = file else { return Ok(None) };
    std::fs::read(file).map(Some).map_err(|source| DataError::File {
        path: file.into(),
        source,
    })
}
