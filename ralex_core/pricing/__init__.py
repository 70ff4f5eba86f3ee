"""From usage to dollars: price book, name matching, overrides, tiers and the explanation of every price."""
