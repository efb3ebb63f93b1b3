"""The same object by four models."""

from dataclasses import dataclass

import msgspec
from pydantic import BaseModel

from disvc.runtime import DecodeError, Resource

RAW = b'{"metadata": {"name": "home", "resourceVersion": "7"}, "spec": {"page": "<h1>", "replicas": 2}}'


class Spec(msgspec.Struct):
    page: str
    replicas: int = 1


class Website(msgspec.Struct):
    spec: Spec


@dataclass
class SpecData:
    page: str
    replicas: int = 1


@dataclass
class WebsiteData:
    spec: SpecData


class SpecModel(BaseModel):
    page: str
    replicas: int = 1


class WebsiteModel(BaseModel):
    spec: SpecModel


plain = Resource("example.com/v1", "Website", "websites").read(RAW)
assert plain.metadata.name == "home"  # decoded already, whatever the model
assert plain.decode()["spec"]["replicas"] == 2

struct = Resource("example.com/v1", "Website", "websites", model=Website).read(RAW)
assert struct.decode().spec.replicas == 2

data = Resource("example.com/v1", "Website", "websites", model=WebsiteData).read(RAW)
assert data.decode().spec.replicas == 2

model = Resource("example.com/v1", "Website", "websites", model=WebsiteModel).read(RAW)
assert model.decode().spec.replicas == 2

wrong = Resource("example.com/v1", "Website", "websites", model=Website).read(RAW.replace(b"2", b'"two"'))
try:
    wrong.decode()
except DecodeError as error:
    print(error)
