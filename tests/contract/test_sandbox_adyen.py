"""The Adyen simulator against Adyen's own descriptions: endpoints, fields, answers, webhooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from openapi_schema_validator import OAS31Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.sandbox_rig import Reply, Rig, adyen_payment, running_rig
from turnout.sandbox.adyen import fields
from turnout.sandbox.adyen.refusals import REFUSALS
from turnout.sandbox.adyen.simulator import ENDPOINTS, VERSIONS

SPECS = os.environ.get("TURNOUT_SPECS", "")
pytestmark = pytest.mark.skipif(
    not SPECS, reason="TURNOUT_SPECS names no folder with the providers' API descriptions"
)


class Description:
    """One of Adyen's descriptions, with validators for the bodies that it names."""

    def __init__(self, name: str) -> None:
        path = Path(SPECS) / "adyen" / name
        self.document: dict[str, Any] = orjson.loads(path.read_bytes())
        self._registry: Registry[Any] = Registry().with_resource(
            "urn:adyen", DRAFT202012.create_resource(self.document)
        )

    def complaints(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What is wrong with a value under a schema whose references are local."""
        reference = schema["$ref"]
        validator = OAS31Validator({"$ref": f"urn:adyen{reference}"}, registry=self._registry)
        return [f"{list(e.path)}: {e.message[:300]}" for e in validator.iter_errors(value)]

    def properties(self, name: str) -> set[str]:
        return set(self.document["components"]["schemas"][name]["properties"])


@pytest.fixture(scope="module")
def checkout() -> Description:
    return Description("checkout-v72.json")


@pytest.fixture(scope="module")
def webhooks() -> Description:
    return Description("webhooks-v1.json")


def test_every_simulated_endpoint_is_described(checkout: Description) -> None:
    for endpoint in ENDPOINTS:
        assert "post" in checkout.document["paths"][endpoint]
    assert checkout.document["servers"][0]["url"].rpartition("/")[2] == VERSIONS[-1]


@pytest.mark.parametrize(
    ("names", "structure"),
    [
        (fields.PAYMENT, "PaymentRequest"),
        (fields.DETAILS, "PaymentDetailsRequest"),
        (fields.CAPTURE, "PaymentCaptureRequest"),
        (fields.CANCEL, "PaymentCancelRequest"),
        (fields.CANCEL, "PaymentReversalRequest"),
        (fields.STANDALONE_CANCEL, "StandalonePaymentCancelRequest"),
        (fields.REFUND, "PaymentRefundRequest"),
        (fields.AMOUNT, "Amount"),
    ],
)
def test_request_fields_are_the_described_ones(
    checkout: Description, names: frozenset[str], structure: str
) -> None:
    assert names == checkout.properties(structure)


def test_card_fields_are_described(checkout: Description) -> None:
    assert checkout.properties("CardDetails") >= fields.CARD


class Watched:
    """A rig that holds every answer against the description."""

    def __init__(self, rig: Rig, checkout: Description) -> None:
        self.rig = rig
        self.checkout = checkout
        self.answered: set[str] = set()

    async def __call__(
        self, endpoint: str, body: dict[str, Any], psp: str = "", status: int | None = None
    ) -> dict[str, Any]:
        path = endpoint.replace("{paymentPspReference}", psp)
        reply: Reply = await self.rig.adyen(path, body)
        expected = 201 if "/cancels" in endpoint or "{" in endpoint else 200
        assert reply.status == (expected if status is None else status), reply.raw
        responses = self.checkout.document["paths"][endpoint]["post"]["responses"]
        schema = responses[str(reply.status)]["content"]["application/json"]["schema"]
        assert self.checkout.complaints(schema, reply.json) == []
        self.answered.add(endpoint)
        return reply.json


def _modify(value: int | None = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"merchantAccount": "SandboxMainECOM", "reference": "op_1", **more}
    if value is not None:
        body["amount"] = {"currency": "EUR", "value": value}
    return body


CAPTURES = "/payments/{paymentPspReference}/captures"
CANCELS = "/payments/{paymentPspReference}/cancels"
REVERSALS = "/payments/{paymentPspReference}/reversals"
REFUNDS = "/payments/{paymentPspReference}/refunds"


async def test_every_answer_is_as_described(checkout: Description) -> None:
    async with running_rig() as rig:
        call = Watched(rig, checkout)
        paid = await call("/payments", adyen_payment())
        psp = paid["pspReference"]
        assert len(psp) == 16
        await call(CAPTURES, _modify(400), psp)
        await call(REFUNDS, _modify(100), psp)
        second = await call("/payments", adyen_payment("pay_2"))
        await call(CANCELS, _modify(), second["pspReference"])
        third = await call("/payments", adyen_payment("pay_3"))
        await call(REVERSALS, _modify(), third["pspReference"])
        await call("/cancels", _modify(paymentReference="pay_9"))
        sent = await call("/payments", adyen_payment("pay_4", number="5454545454545454"))
        assert sent["resultCode"] == "RedirectShopper"
        page = await rig.get_page(sent["action"]["url"] + "?outcome=approve")
        token = page.headers["Location"].partition("redirectResult=")[2].replace("%21", "!")
        done = await call("/payments/details", {"details": {"redirectResult": token}})
        assert done["resultCode"] == "Authorised"
        await call("/payments", adyen_payment("pay_5", holderName="PENDING"))
        assert call.answered == set(ENDPOINTS)


@pytest.mark.parametrize("code", list(REFUSALS))
async def test_refusals_are_as_described(checkout: Description, code: str) -> None:
    async with running_rig() as rig:
        asked = {"RequestedTestAcquirerResponseCode": code}
        body = await Watched(rig, checkout)("/payments", adyen_payment(additionalData=asked))
        assert body["refusalReasonCode"] == code
        assert body["resultCode"] in ("Refused", "Error", "Cancelled")


async def test_errors_are_as_described(checkout: Description) -> None:
    async with running_rig() as rig:
        call = Watched(rig, checkout)
        await call("/payments", adyen_payment(invented=1), status=400)
        await call("/payments", adyen_payment(merchantAccount="Other"), status=403)
        await call("/payments", adyen_payment(returnUrl=""), status=422)
        await call("/payments", adyen_payment(paymentMethod={"type": "ideal"}), status=500)
        await call(CAPTURES, _modify(1), "NONE", status=422)


async def _cause_every_event(rig: Rig) -> None:
    async def paid(reference: str, **more: Any) -> str:
        return str(
            (await rig.adyen("/payments", adyen_payment(reference, **more))).json["pspReference"]
        )

    first = await paid("pay_1", billingAddress={"country": "NL"})
    await rig.adyen(f"/payments/{first}/captures", _modify(1000))
    await rig.adyen(f"/payments/{first}/refunds", _modify(100))
    await rig.adyen(f"/payments/{first}/refunds", _modify(5000))
    await paid("pay_2", holderName="CVC_DECLINED", number="5555555555554444")
    await rig.adyen(f"/payments/{await paid('pay_3')}/cancels", _modify())
    await rig.adyen(f"/payments/{await paid('pay_4')}/reversals", _modify())
    await paid("pay_5")
    await rig.adyen("/cancels", _modify(paymentReference="pay_5"))
    await rig.adyen("/cancels", _modify(paymentReference="pay_unknown"))
    failing = await paid("pay_6", holderName="capture failed")
    await rig.adyen(f"/payments/{failing}/captures", _modify(1000))
    failing = await paid("pay_7", holderName="refund failed")
    await rig.adyen(f"/payments/{failing}/captures", _modify(1000))
    await rig.adyen(f"/payments/{failing}/refunds", _modify(1000))
    await paid("pay_8")
    await rig.control("POST", "adyen/expire", {"payment": "pay_8"})


async def test_webhooks_are_as_described(webhooks: Description) -> None:
    async with running_rig() as rig:
        await _cause_every_event(rig)
        seen = set()
        for webhook in await rig.flush():
            code = webhook.item["eventCode"]
            operation = webhooks.document["webhooks"][f"/{code}"]["post"]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert webhooks.complaints(schema, webhook.json) == [], code
            seen.add(code)
        assert seen == {
            "AUTHORISATION", "CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "TECHNICAL_CANCEL",
            "CANCEL_OR_REFUND", "REFUND", "REFUND_FAILED", "EXPIRE",
        }  # fmt: skip


def test_the_checks_see_what_is_wrong(checkout: Description, webhooks: Description) -> None:
    schema = {"$ref": "#/components/schemas/PaymentResponse"}
    assert checkout.complaints(schema, {"resultCode": "Authorised"}) == []
    assert checkout.complaints(schema, {"resultCode": "Approved"})
    assert checkout.complaints(schema, {"invented": 1})
    assert checkout.complaints(schema, {"additionalData": {"authCode": 5}})
    schema = {"$ref": "#/components/schemas/CaptureNotificationRequest"}
    assert webhooks.complaints(
        schema, {"notificationItems": [{"NotificationRequestItem": {"invented": "x"}}]}
    )
