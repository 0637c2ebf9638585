"""The shop: a synthetic multimodal data set, made from a seed, for demos and tests.

Every item has a part that only its text shows, a part that only its picture shows, and a part that neither shows and
only behaviour reveals; every user has a taste for each. The one who generated it knows each user's true affinity to
each item (the oracle), so a measured quality can be compared with the best that is possible.
"""

from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.shop.oracle import Oracle, load_oracle
from fedrec.simulation.shop.summary import ShopSummary, shop_summary

__all__ = ["Oracle", "ShopSummary", "load_oracle", "shop_summary", "write_shop"]
