# boot: kpatch.enable=0
show cat /proc/cmdline
ls /var/x
