show uname -r
touch /var/x
