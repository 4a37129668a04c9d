//! penstock-dynamodb
