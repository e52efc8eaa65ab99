"""Which SAEs may call this KME, and with whom they may share keys."""

from __future__ import annotations

from qanat.core.ids import SaeId, SiteId
from qanat.km.context import Context
from qanat.km.documents import KeyDeliveryError

# A group of sixteen with its master. The master's KME does one pad per slave site inside one transaction, and a
# request of 128 keys of 4096 bits for sixteen sites spends 1 MiB of link key: enough for one call.
ADDITIONAL_SLAVES_MAX = 15


def partner_site(c: Context, caller: SaeId, partner: SaeId) -> SiteId:
    """Where the partner is, once both are known and may share keys.

    Raises:
        KeyDeliveryError: 401 or 400.
    """
    saes = c.network.saes
    if caller not in saes or saes[caller].site != c.site:
        raise KeyDeliveryError(401, "the calling SAE is not registered at this KME")
    if partner not in saes:
        raise KeyDeliveryError(400, "the other SAE is not known in this network")
    if not c.may_pair(caller, partner):
        raise KeyDeliveryError(401, "these two SAEs are not permitted to share keys")
    return saes[partner].site


def slave_sites(c: Context, caller: SaeId, slave: SaeId, additional: list[str]) -> dict[SiteId, list[SaeId]]:
    """All slaves of one Get key by their site, the site of the SAE in the path first.

    Raises:
        KeyDeliveryError: 400 too many, one twice, one unknown; 401 one that may not share keys with the caller.
    """
    sites = {partner_site(c, caller, slave): [slave]}
    if len(additional) > ADDITIONAL_SLAVES_MAX:
        raise KeyDeliveryError(400, f"at most {ADDITIONAL_SLAVES_MAX} additional_slave_SAE_IDs may be given")
    if len({slave, *additional}) != 1 + len(additional):
        raise KeyDeliveryError(400, "a slave SAE is named twice")
    for name in map(SaeId, additional):
        sites.setdefault(partner_site(c, caller, name), []).append(name)
    return sites
