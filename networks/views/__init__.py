"""The pages of networks: fetch through access, call a service, render. The same partial serves the first look and every live one."""
