"""The borders of the house: what the inner rooms ask of the outer ones.

Each method lists what it raises; anything else that comes out of an adapter is a defect. Methods
that return an `Awaitable` without being `async` submit when they are CALLED and are durable when
they have been AWAITED, so that two stores can be awaited together without a task for each.
"""

from __future__ import annotations

from turnout.ports.face import (
    Encoder,
)
from turnout.ports.providers import (
    AuthorizeRequest,
    Connector,
    ConnectorTraits,
    FollowUpRequest,
    HttpNotSent,
    HttpRequest,
    HttpResponse,
    HttpTransport,
    HttpUnknown,
    InquiryRequest,
    RetryBudget,
    WebhookDelivery,
    WebhookRejected,
)
from turnout.ports.record import (
    MAX_NS,
    BalanceFilter,
    Claim,
    ClaimTaken,
    DecidedAttempt,
    DecisionFilter,
    DecisionRecord,
    EventFilter,
    EventSubscription,
    LedgerFilter,
    MerchantReferenceTaken,
    PaymentFilter,
    RefundFilter,
    ReviewFilter,
    ReviewRecord,
    Store,
    StoredWebhook,
    StoreUnavailable,
    UnitOfWork,
    VersionConflict,
)
from turnout.ports.rulesets import (
    ActivationRecord,
    RulesetFilter,
    RulesetRecord,
    RulesetStore,
    SnapshotRecord,
)
from turnout.ports.runtime import (
    Clock,
    Random,
)
from turnout.ports.schemes import (
    AttemptCount,
    AttemptDecline,
    AttemptLimit,
    AttemptRefused,
    SchemeAttempt,
    SchemeFacts,
    SchemeKeys,
)
from turnout.ports.vault import (
    BinDirectory,
    Reveal,
    VaultRecord,
    VaultStore,
    WrappedKey,
)

__all__ = [
    "MAX_NS",
    "ActivationRecord",
    "AttemptCount",
    "AttemptDecline",
    "AttemptLimit",
    "AttemptRefused",
    "AuthorizeRequest",
    "BalanceFilter",
    "BinDirectory",
    "Claim",
    "ClaimTaken",
    "Clock",
    "Connector",
    "ConnectorTraits",
    "DecidedAttempt",
    "DecisionFilter",
    "DecisionRecord",
    "Encoder",
    "EventFilter",
    "EventSubscription",
    "FollowUpRequest",
    "HttpNotSent",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "HttpUnknown",
    "InquiryRequest",
    "LedgerFilter",
    "MerchantReferenceTaken",
    "PaymentFilter",
    "Random",
    "RefundFilter",
    "RetryBudget",
    "Reveal",
    "ReviewFilter",
    "ReviewRecord",
    "RulesetFilter",
    "RulesetRecord",
    "RulesetStore",
    "SchemeAttempt",
    "SchemeFacts",
    "SchemeKeys",
    "SnapshotRecord",
    "Store",
    "StoreUnavailable",
    "StoredWebhook",
    "UnitOfWork",
    "VaultRecord",
    "VaultStore",
    "VersionConflict",
    "WebhookDelivery",
    "WebhookRejected",
    "WrappedKey",
]
