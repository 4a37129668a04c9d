//! Names of resources, as IAM has them: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.

/// The account in ARNs: its number, or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

/// A text that is no account's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no account: write its 12 digits, such as 111122223333, or `*` for any")]
pub struct NoAccount(String);

impl std::str::FromStr for Account {
    type Err = NoAccount;

    fn from_str(text: &str) -> Result<Self, NoAccount> {
        let is_number = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || text == "*" { Ok(Self(text.to_owned())) } else { Err(NoAccount(text.to_owned())) }
    }
}

/// Makes the ARNs of one region and account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arns<'a> {
    region: &'a str,
    account: &'a str,
}

impl<'a> Arns<'a> {
    pub(super) fn new(region: &'a str, account: &'a Account) -> Self {
        Self { region, account: &account.0 }
    }

    pub(super) fn stream(&self, name: &str) -> String {
        format!("arn:{}:kinesis:{}:{}:stream/{name}", self.partition(), self.region, self.account)
    }

    /// A consumer that is registered with a stream. Its ARN ends with the second in which that was.
    pub(super) fn consumer(&self, stream: &str, name: &str) -> String {
        format!("{}/consumer/{name}:*", self.stream(stream))
    }

    pub(super) fn table(&self, name: &str) -> String {
        format!("arn:{}:dynamodb:{}:{}:table/{name}", self.partition(), self.region, self.account)
    }

    pub(super) fn bucket(&self, name: &str) -> String {
        format!("arn:{}:s3:::{name}", self.partition())
    }

    /// All objects whose keys begin so.
    pub(super) fn objects(&self, bucket: &str, prefix: &str) -> String {
        format!("{}/{}*", self.bucket(bucket), literal(prefix))
    }

    /// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
    fn partition(&self) -> &'static str {
        const OF_REGIONS: [(&str, &str); 7] = [
            ("cn-", "aws-cn"),
            ("eu-isoe-", "aws-iso-e"),
            ("eusc-", "aws-eusc"),
            ("us-gov-", "aws-us-gov"),
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("us-isof-", "aws-iso-f"),
        ];
        OF_REGIONS.iter().find(|(prefix, _)| self.region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
    }
}

/// What stands for itself in a policy: `*` and `?` are wildcards there, and `$` begins a variable.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '*' | '?' | '$' => escaped.extend(['$', '{', letter, '}']),
            other => escaped.push(other),
        }
    }
    escaped
}
