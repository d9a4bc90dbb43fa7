# SPDX-License-Identifier: GPL-2.0-or-later
# One large live patch in a guest: what runs before it, with it and after it. Uses lib.sh; the host judges.
# /s/$NAME has modules (shipped ones, in loading order), replaces (what the kernel has to list), MODULE.ko.

# A note of the host's: step, text.
tell() { say out "$NAME" "$1" "$2"; }

seconds() {
	read -r up rest </proc/uptime
	echo "${up%.*}"
}

# step, file with names: loads what is not there yet; the names of those that load go to $STATE/loaded, in order.
load_shipped() {
	while read -r module; do
		[ -d "/sys/module/$module" ] && continue
		if out=$(insmod "/modules/$module.ko" 2>&1); then
			echo "$module" >>"$STATE/loaded"
		else
			tell "$1" "not loaded: $module: $out"
		fi
	done <"$2"
	tell "$1" "$(wc -l <"$STATE/loaded") shipped modules are loaded"
}

# Removes what load_shipped loaded, the last first; some cannot be removed.
remove_shipped() {
	tac "$STATE/loaded" >"$STATE/last-first"
	while read -r module; do
		rmmod "$module" 2>/dev/null
	done <"$STATE/last-first"
	: >"$STATE/loaded"
}

# Waits without end of its own: step, module, wanted state. The host ends a guest that says nothing.
settle_slowly() {
	tries=0
	while [ $tries -lt 5400 ]; do
		if [ ! -d "$LIVEPATCH/$2" ]; then
			[ "$3" = 0 ] && return 0
			fail "$1" "$2 was loaded and is not in $LIVEPATCH"
		elif [ "$3" = 1 ] && [ "$(cat "$LIVEPATCH/$2/transition" 2>/dev/null)" = 0 ]; then
			return 0
		fi
		tries=$((tries + 1))
		[ $((tries % 60)) = 0 ] && tell "$1" "waiting for: $(unsettled "$3")"
		sleep 1
	done
	fail "$1" "$2 did not settle in 5400 tries, waiting for: $(unsettled "$3")"
}

# Says something while a command runs that may take minutes: step, command.
aloud() {
	step=$1
	shift
	(
		while sleep 60; do tell "$step" "$1 is under way"; done
	) &
	crier=$!
	"$@"
	code=$?
	kill $crier 2>/dev/null
	wait $crier 2>/dev/null
	return $code
}

nop_before() {
	: >"$STATE/loaded"
	load_shipped 1 modules
	cp "$STATE/loaded" "$STATE/can-load"
	workload 1
	remove_shipped
	ok 1
	echo "<4>kmend-test: before is over" >/dev/kmsg
}

# module
nop_load() {
	# The last half comes while the live patch is there.
	half=$(($(wc -l <"$STATE/can-load") / 2))
	head -n "$half" "$STATE/can-load" >"$STATE/first-half"
	load_shipped 2 "$STATE/first-half"
	from=$(seconds)
	aloud 2 insmod "/s/$NAME/$1.ko" >"$STATE/said" 2>&1 ||
		fail 2 "insmod $1.ko: $(cat "$STATE/said"): $(dmesg | tail -n 3)"
	tell 2 "insmod $(($(seconds) - from))"
	settle_slowly 2 "$1" 1
	tell 2 "loaded $(($(seconds) - from))"
	(cd "$LIVEPATCH/$1" && ls -d */*,*) | sort >"$STATE/listed"
	sort replaces | diff - "$STATE/listed" >"$STATE/differ" ||
		fail 2 "the kernel lists other functions: $(head -n 5 "$STATE/differ" | tr '\n' ' ')"
	tell 2 "listed $(wc -l <"$STATE/listed")"
	ok 2
}

# module
nop_run() {
	load_shipped 3 "$STATE/can-load"
	while read -r module; do
		[ -d "/sys/module/$module" ] || fail 3 "$module loads without the live patch, and not with it"
	done <"$STATE/can-load"
	for object in "$LIVEPATCH/$1"/*/; do
		object=$(basename "$object")
		there=0
		[ "$object" = vmlinux ] || [ -d "/sys/module/$object" ] && there=1
		is=$(cat "$LIVEPATCH/$1/$object/patched" 2>/dev/null || echo $there)
		[ "$is" = $there ] || fail 3 "$object: there is $there, patched is $is"
		[ $there = 1 ] && echo "$object"
	done >"$STATE/patched"
	tell 3 "patched $(wc -l <"$STATE/patched") of $(ls -d "$LIVEPATCH/$1"/*/ | wc -l) objects"
	from=$(seconds)
	workload 3
	tell 3 "workload $(($(seconds) - from))"
	ok 3
}

# module
nop_revert() {
	from=$(seconds)
	echo 0 >"$LIVEPATCH/$1/enabled" || fail 4 "$LIVEPATCH/$1/enabled does not take 0"
	settle_slowly 4 "$1" 0
	tell 4 "reverted $(($(seconds) - from))"
	rmmod_one 4 "$1"
}

nop_after() {
	workload 5
	remove_shipped
	ok 5
}

# step: each part says that it is over, so that the host knows the last thing that was done.
workload() {
	for part in files mounts reads processes network devices; do
		"work_$part" </dev/null >/dev/null 2>&1
		tell "$1" "work: $part"
	done
}

work_files() {
	dir=/tmp/work
	mkdir -p $dir/a/b $dir/c
	dd if=/dev/zero of=$dir/zero bs=4k count=256
	dd if=/dev/urandom of=$dir/random bs=1k count=64
	for i in 0 1 2 3 4 5 6 7 8 9; do
		echo "line $i" >>$dir/a/text
		cp $dir/random "$dir/a/b/$i"
		ln "$dir/a/b/$i" "$dir/c/hard-$i"
		ln -s "../a/b/$i" "$dir/c/soft-$i"
		mv "$dir/a/b/$i" "$dir/a/b/moved-$i"
		chmod 600 "$dir/a/b/moved-$i"
		chown 1:1 "$dir/a/b/moved-$i"
		touch -d '2020-01-01' "$dir/a/b/moved-$i"
	done
	tar -C $dir -cf /tmp/work.tar a c
	mkdir $dir/again && tar -C $dir/again -xf /tmp/work.tar
	gzip -c /tmp/work.tar | gunzip -c | sha256sum
	truncate -s 1M $dir/sparse
	fallocate -l 65536 $dir/full
	sort -r $dir/a/text | uniq -c
	mkfifo $dir/fifo
	(echo through >$dir/fifo) &
	cat $dir/fifo
	wait
	flock $dir/a/text true
	find $dir -type f -size +1k | xargs stat
	du -s $dir
	df
	sync
	rm -rf $dir /tmp/work.tar
}

work_mounts() {
	mkdir -p /tmp/m /tmp/n
	for type in tmpfs ramfs proc sysfs devpts devtmpfs mqueue hugetlbfs cgroup2 bpf securityfs configfs pstore tracefs debugfs; do
		mount -t $type none /tmp/m && ls -R /tmp/m 2>/dev/null | head -n 200
		case $type in tmpfs | ramfs) mount -o remount,ro /tmp/m ;; esac
		umount /tmp/m
	done
	mount -t tmpfs -o size=8m,mode=700 none /tmp/m
	mkdir -p /tmp/m/lower /tmp/m/upper /tmp/m/work /tmp/m/file
	mount --bind /tmp/m/lower /tmp/n && umount /tmp/n
	mount --make-shared /tmp/m
	echo x >/tmp/m/lower/x
	mount -t overlay -o lowerdir=/tmp/m/lower,upperdir=/tmp/m/upper,workdir=/tmp/m/work none /tmp/n &&
		echo y >/tmp/n/x && rm /tmp/n/x && umount /tmp/n
	dd if=/dev/zero of=/tmp/m/image bs=1k count=4096
	mke2fs /tmp/m/image
	mount -o loop /tmp/m/image /tmp/n && cp /lib.sh /tmp/n/ && mkdir /tmp/n/d && sync && ls -lR /tmp/n
	umount -d /tmp/n
	umount /tmp/m
	mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && {
		echo '+memory +pids +cpu' >/tmp/cg/cgroup.subtree_control
		mkdir -p /tmp/cg/x
		sh -c 'echo $$ >/tmp/cg/x/cgroup.procs; ls /; dd if=/dev/zero of=/tmp/cgfile bs=4k count=100'
		cat /tmp/cg/x/* | head -n 500
		echo 1 >/tmp/cg/x/cgroup.freeze
		echo 0 >/tmp/cg/x/cgroup.freeze
		rm -f /tmp/cgfile
		rmdir /tmp/cg/x
		umount /tmp/cg
	}
}

work_reads() {
	for file in /proc/[a-z]*; do
		case $file in
		*/kmsg | */kcore | */kpage* | */sysrq-trigger | */vmcore) continue ;;
		esac
		[ -f "$file" ] && timeout 20 cat "$file"
	done
	for dir in /proc/self /proc/1 /proc/2 /proc/net; do
		timeout 60 find $dir/ -maxdepth 2 -type f ! -name mem ! -name clear_refs ! -name '*pagemap*' -exec cat {} +
	done
	timeout 60 find /proc/sys /proc/irq /proc/bus /proc/driver /proc/fs -type f -exec cat {} +
	timeout 90 find /sys/kernel /sys/class /sys/bus /sys/module /sys/block /sys/fs /sys/power \
		-path /sys/kernel/debug -prune -o -path /sys/kernel/tracing -prune -o -path /sys/kernel/livepatch -prune -o \
		-type f -size -9k -exec cat {} +
	timeout 60 find /sys/devices -type f ! -name 'resource*' ! -name rom ! -name remove -exec cat {} +
	mdev -s
	dmesg
	sysctl -a
}

work_processes() {
	i=0
	while [ $i -lt 40 ]; do
		true | cat | wc
		sh -c 'exit 3'
		i=$((i + 1))
	done
	sleep 30 &
	renice 5 $!
	taskset -p 1 $!
	chrt -p -r 10 $!
	ionice -c 3 -p $!
	kill -STOP $!
	kill -CONT $!
	kill $!
	wait
	nice -n 10 sh -c 'ulimit -c 0; ulimit -n 32; ls /proc/self/fd'
	timeout 1 sh -c 'while :; do :; done'
	setsid sh -c 'echo $$'
	for what in -u -m -n -i -p; do unshare $what ls /; done
	unshare -n sh -c 'ip link set lo up; ping -c 1 127.0.0.1'
	su -s /bin/sh -c id nobody
	ps
	top -b -n 1
	free
	uptime
	ipcs
	lsof
	sh -c 'kill -SEGV $$'
	wait
}

work_network() {
	ip link set lo up
	ip addr add 127.0.0.2/8 dev lo
	ip addr add fd00::1/64 dev lo
	ping -c 2 127.0.0.1
	ping -6 -c 2 ::1
	httpd -f -p 8080 -h / &
	server=$!
	sleep 1
	for i in 1 2 3 4 5; do wget -O - http://127.0.0.1:8080/lib.sh; done
	wget -O - 'http://[::1]:8080/lib.sh'
	netstat -a
	kill $server
	(echo hello | nc -l -p 9090 >/dev/null) &
	sleep 1
	echo hi | timeout 5 nc 127.0.0.1 9090
	kill %% 2>/dev/null
	ip link add dummy7 type dummy
	ip link add br7 type bridge
	ip link set dummy7 master br7
	ip link add link dummy7 name vlan7 type vlan id 7
	ip link add veth7 type veth peer name veth8
	for link in dummy7 br7 vlan7 veth7 veth8; do ip link set $link up; done
	ip addr add 10.7.0.1/24 dev br7
	ip route add 10.8.0.0/16 via 10.7.0.2
	ip rule add from 10.9.0.0/16 table 77
	ping -c 1 -W 1 10.7.0.2
	ip neigh
	ip route
	ip -6 route
	ip rule
	ip rule del from 10.9.0.0/16 table 77
	tc qdisc add dev dummy7 root pfifo
	tc qdisc show
	arp -a
	for link in vlan7 dummy7 br7 veth7; do ip link del $link; done
	ip addr del 127.0.0.2/8 dev lo
	ip link set lo down
	wait
}

work_devices() {
	for dev in zero null urandom random full; do dd if=/dev/$dev of=/dev/null bs=4k count=16; done
	echo x >/dev/full
	hwclock -r
	rtcwake -m no -s 100
	stty -a </dev/ttyS0
	echo h >/proc/sysrq-trigger
	echo m >/proc/sysrq-trigger
	losetup -a
	blkid
	cat /sys/kernel/debug/sched/debug
	for switch in 1 0; do echo $switch >/proc/sys/kernel/sched_schedstats; done
	for cpu in 0 1; do echo $cpu >/sys/devices/system/cpu/cpu1/online; done
	echo 3 >/proc/sys/vm/drop_caches
	echo 1 >/proc/sys/vm/compact_memory
	fbset
	lspci
	lsusb
}
