"""Why a guest is not reachable: the first layer that fails."""
