//! The digests of a body: MD5 for the ETag, and those that the client asks to have checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{S3Error, S3ErrorCode, s3_error};
use serde::{Deserialize, Serialize};

use super::unsign::Announced;

/// The service's checksum algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The name in the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm that a trailer header (`x-amz-trailer`) announces.
    pub(super) fn of_trailer(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| header.split(',').any(|name| name.trim() == algorithm.header()))
    }
}

/// A checksum with its algorithm, in Base64; of a multipart object possibly with `-<parts>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) algorithm: Algorithm,
    pub(super) value: String,
}

impl Sum {
    /// The first checksum of those that a request carries.
    pub(super) fn of_request(checksums: &Checksum) -> Option<Self> {
        let given = [
            (Algorithm::Crc32, &checksums.checksum_crc32),
            (Algorithm::Crc32c, &checksums.checksum_crc32c),
            (Algorithm::Crc64Nvme, &checksums.checksum_crc64nvme),
            (Algorithm::Sha1, &checksums.checksum_sha1),
            (Algorithm::Sha256, &checksums.checksum_sha256),
        ];
        given
            .into_iter()
            .find_map(|(algorithm, value)| value.as_ref().map(|value| Self { algorithm, value: value.clone() }))
    }

    /// In the form of answers, where each algorithm has its own member.
    pub(super) fn to_answer(&self) -> Checksum {
        let mut answer = Checksum::default();
        let member = match self.algorithm {
            Algorithm::Crc32 => &mut answer.checksum_crc32,
            Algorithm::Crc32c => &mut answer.checksum_crc32c,
            Algorithm::Crc64Nvme => &mut answer.checksum_crc64nvme,
            Algorithm::Sha1 => &mut answer.checksum_sha1,
            Algorithm::Sha256 => &mut answer.checksum_sha256,
        };
        *member = Some(self.value.clone());
        answer
    }

    /// The checksum of the parts' checksums.
    pub(super) fn of_parts(algorithm: Algorithm, parts: &[Sum]) -> Option<Self> {
        let mut hasher = hasher(Some(algorithm));
        for part in parts {
            hasher.update(&STANDARD.decode(&part.value).ok()?);
        }
        let sum = Self::of_request(&hasher.finalize())?;
        Some(Self { algorithm, value: format!("{}-{}", sum.value, parts.len()) })
    }
}

/// What a body must turn out to be.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) content_md5: Option<String>,
    pub(super) sum: Option<Sum>,
    /// Computed also when it is not given, or given in a trailer.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) announced: Announced,
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) length: u64,
    pub(super) md5: [u8; 16],
    pub(super) sum: Option<Sum>,
}

fn hasher(algorithm: Option<Algorithm>) -> ChecksumHasher {
    let is = |one: Algorithm| algorithm == Some(one);
    ChecksumHasher {
        crc32: is(Algorithm::Crc32).then(Crc32::new),
        crc32c: is(Algorithm::Crc32c).then(Crc32c::new),
        sha1: is(Algorithm::Sha1).then(Sha1::new),
        sha256: is(Algorithm::Sha256).then(Sha256::new),
        crc64nvme: is(Algorithm::Crc64Nvme).then(Crc64Nvme::new),
    }
}

/// Takes a body piece by piece and says at its end whether it is what was announced.
pub(super) struct Check {
    expected: Expected,
    length: u64,
    md5: Md5,
    sha256: Option<Sha256>,
    hasher: ChecksumHasher,
}

impl Check {
    pub(super) fn new(expected: Expected) -> Self {
        let algorithm = expected.sum.as_ref().map(|sum| sum.algorithm).or(expected.algorithm);
        Self {
            length: 0,
            md5: Md5::new(),
            sha256: expected.announced.sha256.as_ref().map(|_| Sha256::new()),
            hasher: hasher(algorithm),
            expected,
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        self.md5.update(data);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
        self.hasher.update(data);
    }

    /// The digests, when the body is what was announced.
    pub(super) fn finish(self) -> Result<Digests, S3Error> {
        let expected = self.expected;
        if expected.announced.length.is_some_and(|length| length != self.length) {
            return Err(s3_error!(
                IncompleteBody,
                "You did not provide the number of bytes specified by the Content-Length HTTP header."
            ));
        }
        let md5: [u8; 16] = self.md5.finalize();
        if let Some(given) = &expected.content_md5 {
            let given = STANDARD.decode(given).ok().filter(|digest| digest.len() == 16);
            let given = given.ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."))?;
            if given != md5 {
                return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
            }
        }
        if let (Some(sha256), Some(given)) = (self.sha256, &expected.announced.sha256)
            && hex::encode(sha256.finalize()) != *given
        {
            return Err(content_sha256_mismatch());
        }
        let sum = Sum::of_request(&self.hasher.finalize());
        let in_trailer = |algorithm: Algorithm| {
            let value = expected.announced.trailer(algorithm.header())?;
            Some(Sum { algorithm, value: value.to_owned() })
        };
        let given = expected.sum.or_else(|| sum.as_ref().and_then(|sum| in_trailer(sum.algorithm)));
        if let (Some(given), Some(sum)) = (&given, &sum)
            && given.value != sum.value
        {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                sum.algorithm.name()
            ));
        }
        Ok(Digests { length: self.length, md5, sum })
    }
}

/// An error that `s3s` has no name for.
fn content_sha256_mismatch() -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}
