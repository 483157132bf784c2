"""The parties of a round: devices (heart), adders (polis), key holder and auditor (bridge)."""
