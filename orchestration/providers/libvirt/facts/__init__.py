"""The facts of a host's node and of its domains, as libvirt reports them."""
