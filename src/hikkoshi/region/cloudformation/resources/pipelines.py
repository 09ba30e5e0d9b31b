"""CodeBuild and CodePipeline: kept by moto's API as metadata; nothing is built here."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.cloudformation.adapter import Adapter


class BuildProject(Adapter):
    TYPE = "AWS::CodeBuild::Project"
    REPLACING = frozenset({"Name"})
    METADATA = "metadata only: the local region builds nothing"

    def make(self, properties: dict[str, Any]) -> None:
        named = {"Name": self.name, **properties}
        named.pop("Triggers", None)
        for key in ("Source", "Artifacts"):
            if properties[key].get("Type") == "CODEPIPELINE":
                # moto wants a place, which AWS takes from the pipeline.
                named[key] = {"Location": "CODEPIPELINE", **properties[key]}
        project = self.call("codebuild", "CreateProject", named)["project"]
        self.identity = project["name"]
        self.attributes = {"Arn": project["arn"]}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        # moto has no UpdateProject.
        self.remove()
        self.make(properties)

    def remove(self) -> None:
        self.client("codebuild").delete_project(name=self.identity)


class Pipeline(Adapter):
    TYPE = "AWS::CodePipeline::Pipeline"
    REPLACING = frozenset({"Name"})
    METADATA = "metadata only: the local region runs no pipeline"

    def make(self, properties: dict[str, Any]) -> None:
        given = {"Pipeline": self._structure(properties), "Tags": properties.get("Tags", [])}
        pipeline = self.call("codepipeline", "CreatePipeline", given)["pipeline"]
        self.identity = pipeline["name"]
        self.attributes = {"Version": str(pipeline.get("version", 1))}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        given = {"Pipeline": self._structure(properties)}
        pipeline = self.call("codepipeline", "UpdatePipeline", given)["pipeline"]
        self.attributes = {"Version": str(pipeline.get("version", 1))}

    def _structure(self, properties: dict[str, Any]) -> dict[str, Any]:
        """What the API calls the pipeline; the rest of the properties is CloudFormation's own."""
        other = {"Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions"}
        return {"Name": self.name, **{k: v for k, v in properties.items() if k not in other}}

    def remove(self) -> None:
        self.client("codepipeline").delete_pipeline(name=self.identity)


ADAPTERS: tuple[type[Adapter], ...] = (BuildProject, Pipeline)
