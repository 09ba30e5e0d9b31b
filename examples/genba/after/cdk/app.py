#!/usr/bin/env python3
"""The new home of genba: one stack for each thing that lives and dies by itself."""

import os

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

import settings
from stacks.database import DatabaseStack
from stacks.images import ImagesStack
from stacks.network import NetworkStack
from stacks.pipeline import PipelineStack
from stacks.service import ServiceStack

app = cdk.App()

# The account is the one that the CDK's own credentials lead to; the region is a decision.
env = cdk.Environment(account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=settings.REGION)

network = NetworkStack(app, f"{settings.SERVICE}-network", env=env)
images = ImagesStack(app, f"{settings.SERVICE}-images", env=env)
database = DatabaseStack(app, f"{settings.SERVICE}-database", env=env, network=network)
service = ServiceStack(
    app,
    f"{settings.SERVICE}-service",
    env=env,
    network=network,
    images=images,
    database=database,
)
PipelineStack(app, f"{settings.SERVICE}-pipeline", env=env, images=images)

cdk.Tags.of(app).add("service", settings.SERVICE)

# AWS's own rules are part of every synth: what breaks one fails it, unless the code says why not.
cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))

app.synth()
