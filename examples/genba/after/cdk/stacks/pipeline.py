"""The way of a commit: source → build (image, scan) → rehearse → deploy."""

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

import settings
from stacks.images import ImagesStack
from stacks.rules import acknowledge


class PipelineStack(cdk.Stack):
    """Each stage has a role of its own; only the last one may change the service."""

    def __init__(self, scope: Construct, id: str, *, images: ImagesStack, **kwargs) -> None:
        super().__init__(scope, id, **kwargs)
        self._key = kms.Key(self, "Key", enable_key_rotation=True)
        self._artifacts = self._bucket()
        source, built = codepipeline.Artifact("Source"), codepipeline.Artifact("Built")
        build = self._project("Build", "build.yml", is_privileged=True)
        for repository in images.repositories.values():
            repository.grant_pull_push(build)
            repository.grant(build, "ecr:DescribeImageScanFindings", "ecr:DescribeImages")
        # A rehearsal starts real parts in namespaces of its own, which wants a privileged build.
        rehearse = self._project("Rehearse", "rehearse.yml", is_privileged=True)
        deploy = self._project("Deploy", "deploy.yml")
        # The CDK's own roles do the work; this one may only put them on.
        deploy.add_to_role_policy(
            iam.PolicyStatement(
                actions=["sts:AssumeRole"],
                resources=[f"arn:{self.partition}:iam::{self.account}:role/cdk-hnb659fds-*"],
            )
        )
        codepipeline.Pipeline(
            self,
            "Pipeline",
            pipeline_name=settings.SERVICE,
            pipeline_type=codepipeline.PipelineType.V2,
            artifact_bucket=self._artifacts,
            stages=[
                self._stage("Source", self._source(source)),
                self._stage("Build", self._run("Image", build, source, [built])),
                self._stage("Rehearse", self._run("Rehearse", rehearse, source)),
                self._stage("Deploy", self._run("Deploy", deploy, built)),
            ],
        )
        self._acknowledge(build, rehearse, deploy)

    def _source(self, output: codepipeline.Artifact) -> codepipeline.IAction:
        owner, repository = settings.REPOSITORY.split("/", 1)
        return actions.CodeStarConnectionsSourceAction(
            action_name="Source",
            connection_arn=settings.CONNECTION_ARN,
            owner=owner,
            repo=repository,
            branch=settings.BRANCH,
            output=output,
        )

    def _project(
        self, id: str, buildspec: str, *, is_privileged: bool = False
    ) -> codebuild.PipelineProject:
        return codebuild.PipelineProject(
            self,
            id,
            project_name=f"{settings.SERVICE}-{id.lower()}",
            build_spec=codebuild.BuildSpec.from_source_filename(f"cdk/buildspec/{buildspec}"),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.STANDARD_7_0, privileged=is_privileged
            ),
            environment_variables={
                "REGISTRY": codebuild.BuildEnvironmentVariable(
                    value=f"{self.account}.dkr.ecr.{self.region}.{self.url_suffix}"
                )
            },
            encryption_key=self._key,
            timeout=cdk.Duration.minutes(30),
        )

    def _bucket(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "Artifacts",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(30))],
        )

    @staticmethod
    def _stage(name: str, action: codepipeline.IAction) -> codepipeline.StageProps:
        return codepipeline.StageProps(stage_name=name, actions=[action])

    @staticmethod
    def _run(
        name: str,
        project: codebuild.IProject,
        source: codepipeline.Artifact,
        outputs: list[codepipeline.Artifact] | None = None,
    ) -> codepipeline.IAction:
        return actions.CodeBuildAction(
            action_name=name, project=project, input=source, outputs=outputs
        )

    def _acknowledge(self, *projects: codebuild.Project) -> None:
        acknowledge(
            self,
            "AwsSolutions-S1",
            because="The artifacts of thirty days; CloudTrail has who took them.",
        )
        acknowledge(
            self,
            "AwsSolutions-CB3",
            because="Docker builds the image, a rehearsal makes namespaces: both want privileges.",
        )
        acknowledge(
            projects[0],
            "AwsSolutions-IAM5[Resource::*]",
            because="ecr:GetAuthorizationToken takes no resource.",
        )
        account = "<AWS::AccountId>" if cdk.Token.is_unresolved(self.account) else self.account
        wildcards = [f"Action::kms:{verb}*" for verb in ("GenerateDataKey", "ReEncrypt")]
        wildcards += [
            f"Action::s3:{verb}*"
            for verb in ("Abort", "DeleteObject", "GetBucket", "GetObject", "List")
        ]
        wildcards += [f"Resource::<{self._id_of(self._artifacts)}.Arn>/*"]
        wildcards += [f"Resource::arn:<AWS::Partition>:iam::{account}:role/cdk-hnb659fds-*"]
        for project in projects:
            here, name = f"{self.region}:{account}", f"<{self._id_of(project)}>"
            logs = f"logs:{here}:log-group:/aws/codebuild/{name}:*"
            reports = f"codebuild:{here}:report-group/{name}-*"
            wildcards += [f"Resource::arn:<AWS::Partition>:{each}" for each in (logs, reports)]
        for wildcard in wildcards:
            acknowledge(
                self,
                f"AwsSolutions-IAM5[{wildcard}]",
                because="The CDK's own grant, for one bucket, one key, one project or one prefix.",
            )

    def _id_of(self, construct: Construct) -> str:
        return self.get_logical_id(construct.node.default_child)
