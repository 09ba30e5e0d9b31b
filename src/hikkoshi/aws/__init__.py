"""The one way to AWS: boto3, against an account or against a local region."""
