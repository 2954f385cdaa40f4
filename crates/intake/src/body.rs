//! Request bodies unpacked, within a bound that counts what comes out, not what went in.

use std::borrow::Cow;
use std::io::{self, Read};

use thiserror::Error;

/// Why a body was refused.
#[derive(Debug, Error)]
pub enum BodyError {
    /// More bytes than allowed.
    #[error(
        "the body has more than {bytes_max} bytes after decompression: send it in smaller parts, or raise the setting body_bytes_max"
    )]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A content encoding we do not know.
    #[error("the content encoding {encoding:?} is not known: use gzip, deflate, zstd, br or none")]
    UnknownEncoding {
        /// As sent.
        encoding: String,
    },
    /// The compressed bytes do not decompress.
    #[error("the body does not decompress as {encoding}: {source}")]
    Broken {
        /// As sent.
        encoding: String,
        /// What the decompressor says.
        source: io::Error,
    },
}

/// Undoes the encodings named in a `Content-Encoding` header, the last one first.
///
/// # Errors
/// When an encoding is unknown, the bytes are broken, or more than `bytes_max` come out. A body that would unpack
/// to gigabytes is given up after `bytes_max` bytes.
pub fn unpack<'a>(encodings: &str, body: &'a [u8], bytes_max: usize) -> Result<Cow<'a, [u8]>, BodyError> {
    let mut unpacked = Cow::Borrowed(body);
    for encoding in encodings.rsplit(',').map(str::trim).filter(|name| !name.is_empty()) {
        let reader: Box<dyn Read> = match encoding.to_ascii_lowercase().as_str() {
            "identity" => continue,
            "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(&*unpacked)),
            // Some send raw deflate, some the zlib form that the name stands for.
            "deflate" if unpacked.first().is_some_and(|byte| byte & 0x0f == 8) => {
                Box::new(flate2::read::ZlibDecoder::new(&*unpacked))
            }
            "deflate" => Box::new(flate2::read::DeflateDecoder::new(&*unpacked)),
            "zstd" => {
                Box::new(zstd::stream::read::Decoder::new(&*unpacked).map_err(|source| broken(encoding, source))?)
            }
            "br" => Box::new(brotli::Decompressor::new(&*unpacked, 8 << 10)),
            _ => return Err(BodyError::UnknownEncoding { encoding: encoding.to_owned() }),
        };
        let mut out = Vec::new();
        reader.take(bytes_max as u64 + 1).read_to_end(&mut out).map_err(|source| broken(encoding, source))?;
        if out.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        unpacked = Cow::Owned(out);
    }
    if unpacked.len() > bytes_max { Err(BodyError::TooLarge { bytes_max }) } else { Ok(unpacked) }
}

fn broken(encoding: &str, source: io::Error) -> BodyError {
    BodyError::Broken { encoding: encoding.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_comes_back() {
        let text = b"hello hello hello hello".as_slice();
        let mut brotli_bytes = Vec::new();
        brotli::CompressorWriter::new(&mut brotli_bytes, 4096, 5, 22).write_all(text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(text).unwrap();
        let cases = [
            ("", text.to_vec()),
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("GZIP", gzip(text)),
            ("gzip, gzip", gzip(&gzip(text))),
            ("deflate", zlib.finish().unwrap()),
            ("zstd", zstd::stream::encode_all(text, 1).unwrap()),
            ("br", brotli_bytes),
        ];
        for (encoding, bytes) in cases {
            assert_eq!(unpack(encoding, &bytes, 100).unwrap(), text, "{encoding}");
        }
    }

    #[test]
    fn a_bomb_is_given_up_at_the_bound() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(matches!(unpack("gzip", &bomb, 1 << 20), Err(BodyError::TooLarge { .. })));
        assert!(matches!(unpack("lzma", b"x", 10), Err(BodyError::UnknownEncoding { .. })));
        assert!(matches!(unpack("gzip", b"not gzip", 10), Err(BodyError::Broken { .. })));
        assert!(matches!(unpack("", b"more than ten", 10), Err(BodyError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_bounded(bytes: Vec<u8>, which in 0_usize..5) {
            let encoding = ["gzip", "deflate", "zstd", "br", "gzip, br"][which];
            if let Ok(out) = unpack(encoding, &bytes, 4096) {
                prop_assert!(out.len() <= 4096);
            }
        }
    }
}
