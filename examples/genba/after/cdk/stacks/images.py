"""The repositories of the images that are built here."""

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from constructs import Construct

import settings


class ImagesStack(cdk.Stack):
    """One repository for each image. No tag is overwritten: what was rehearsed is what runs."""

    def __init__(self, scope: Construct, id: str, **kwargs) -> None:
        super().__init__(scope, id, **kwargs)
        self.repositories: dict[str, ecr.IRepository] = {
            "genba": self._repository("Genba", "genba"),
            "genba-log-router": self._repository("GenbaLogRouter", "genba-log-router"),
        }

    def image(self, name: str) -> ecs.ContainerImage:
        """The image of that repository, by the tag of settings.py or of `-c image_tag=…`."""
        tag = self.node.try_get_context("image_tag") or settings.IMAGE_TAGS[name]
        return ecs.ContainerImage.from_ecr_repository(self.repositories[name], tag)

    def _repository(self, id: str, name: str) -> ecr.Repository:
        return ecr.Repository(
            self,
            id,
            repository_name=name,
            image_scan_on_push=True,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            lifecycle_rules=[ecr.LifecycleRule(max_image_count=50)],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
