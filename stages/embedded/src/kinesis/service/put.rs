//! Writing records.

use bytes::Bytes;

use super::{Answer, Service};
use crate::kinesis::error::ApiError;
use crate::kinesis::model::sequence::SequenceNumber;
use crate::kinesis::protocol::parse;
use crate::kinesis::protocol::put::{PutRecord, PutRecords, Text, answer_many, answer_one};

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
    pub(super) async fn put_records(&self, body: Bytes) -> Result<Answer, ApiError> {
        let batch = {
            let request: PutRecords<'_> = parse(&body)?;
            let (name, max_record_kib) = self.writable(request.stream_name.as_ref(), request.stream_arn.as_ref())?;
            request.into_batch(name, max_record_kib)?
        };
        drop(body);
        let stream = batch.stream.clone();
        let placement = self.writer.put(batch).await?;
        Ok(Answer::Json(answer_many(&stream, &placement)))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>
    pub(super) async fn put_record(&self, body: Bytes) -> Result<Answer, ApiError> {
        let batch = {
            let request: PutRecord<'_> = parse(&body)?;
            let (name, max_record_kib) = self.writable(request.stream_name.as_ref(), request.stream_arn.as_ref())?;
            // Numbers always grow in the order of arrival here, which is all that this parameter asks for.
            if let Some(ordering) = &request.sequence_number_for_ordering
                && SequenceNumber::parse(ordering.as_str()).is_none()
            {
                return Err(ApiError::invalid_argument(format!(
                    "SequenceNumberForOrdering {} is not a sequence number of stream {name}.",
                    ordering.as_str()
                )));
            }
            request.into_batch(name, max_record_kib)?
        };
        drop(body);
        let stream = batch.stream.clone();
        let placement = self.writer.put(batch).await?;
        Ok(Answer::Json(answer_one(&stream, &placement)?))
    }

    fn writable(&self, stream_name: Option<&Text<'_>>, arn: Option<&Text<'_>>) -> Result<(String, u32), ApiError> {
        let name = self.stream_name(stream_name.map(Text::as_str), arn.map(Text::as_str))?;
        let live = self.catalog.get_usable(name, self.now())?;
        Ok((name.to_owned(), live.stream.max_record_kib))
    }
}
