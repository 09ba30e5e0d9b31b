"""CloudFormation: moto's API and template language, with an engine and resources of our own."""
