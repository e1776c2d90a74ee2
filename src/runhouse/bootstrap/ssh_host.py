"""placeholder"""


class SshHost: ...
