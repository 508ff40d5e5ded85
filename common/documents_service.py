"""What the gateway and the documents service must agree on: headers, and the largest file.

The gateway has asked who comes and brings the token that the two share (KODOLLY_DOCUMENTS_TOKEN); the service
believes what it says in these headers. What clients send under these names never travels on.
"""

OWNER_HEADER = "x-kodolly-owner"
"""Id of the key on whose behalf the gateway asks."""
SEES_ALL_HEADER = "x-kodolly-sees-all"
"""`1` for an administrator's key."""
ON_BEHALF_ID = "documents"
"""Id of the key with which the service asks the gateway, for keys whose requests are counted already."""
BOUND_MODELS = "/v1/bound_models"
"""Where the gateway learns which models have documents."""
MOST_FILE_BYTES = 64 * 1024 * 1024
"""Largest file that can be uploaded. Bodies are held in memory, by the gateway and by the service."""
UPLOAD_BYTES = MOST_FILE_BYTES + 64 * 1024
"""Largest form with such a file."""
UPLOAD_S = 600.0
"""Longest time for it to arrive, in seconds."""
