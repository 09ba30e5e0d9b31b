"""The CDK app that is generated from a project, and how it is checked."""
