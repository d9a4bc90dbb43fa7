# The host is up.
show uname -r
show systemctl is-system-running
cat /proc/cmdline
systemctl --failed --no-legend
again
