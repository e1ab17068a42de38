package facts

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// judge says what a command destroys, and what it does to files, hosts and what runs later.
func (w *follower) judge(name string, args []value, p place) {
	a := arguments{args[1:]}
	w.touches(name, a, args, p)
	switch name {
	case "rm", "grm", "srm", "unlink", "rmdir", "trash-empty", "rimraf", "del-cli", "trash":
		recursive := name == "srm" || name == "rimraf" || name == "del-cli" || a.has("rR", "--recursive")
		for _, x := range a.operands() {
			if name == "rimraf" || name == "del-cli" { // which expand patterns themselves
				x.text = quoting.Replace(x.text)
			}
			switch {
			case recursive:
				w.deletes(x, false, args)
			case name != "rmdir" && name != "trash":
				w.deletesFile(x, args)
			}
		}
	case "shred", "wipe", "scrub":
		w.destroys("files", args)
	case "truncate":
		for _, x := range a.operands("-s", "-r", "--size", "--reference") {
			if strings.Contains(x.text, star) || x.taint&whole != 0 && w.vital(x, false) {
				w.destroys("files", args)
			}
			w.overwrites(x, args)
		}
	case "mv", "gmv":
		ops := a.operands("-t", "-S")
		for i, x := range ops {
			if i < len(ops)-1 || len(ops) == 1 {
				w.deletes(x, true, args)
			} else if x.is("/dev/null") {
				w.destroys("files", args)
			}
		}
	case "chmod", "chown", "chgrp", "setfacl", "chattr", "chflags":
		ops := a.operands()
		if a.has("R", "--recursive") && len(ops) > 1 {
			for _, x := range ops[1:] {
				if w.vital(x, false) && !w.isCwd(x) {
					w.destroys("files", args)
				}
			}
		} else if len(ops) > 1 {
			for _, x := range ops[1:] {
				if d := w.at(x.least()); d == "/" || systemDirs[d] || x.taint&whole != 0 && w.vital(x, false) && !w.isCwd(x) {
					w.destroys("files", args)
				}
			}
		}
	case "rsync":
		if ops := a.operands("-e", "-f", "--exclude", "--include", "--rsh"); len(ops) > 1 && a.index("--dry-run") < 0 && slices.ContainsFunc(a.all, func(v value) bool { return strings.HasPrefix(v.text, "--del") || v.is("--remove-source-files") }) {
			target := ops[len(ops)-1]
			if host, dir, ok := strings.Cut(target.text, ":"); !ok || strings.Contains(host, "/") {
				w.deletes(target, false, args)
			} else if w.vital(value{dir, target.taint}, true) { // of another machine, where only the worst is told from what is usual
				w.destroys("files", args)
			}
		}
	case "rclone":
		if ops := a.operands(); len(ops) > 0 && (ops[0].is("purge") || ops[0].is("delete") || ops[0].is("cleanup") || ops[0].is("sync")) && !a.has("n", "--dry-run") {
			w.destroys("cloud", args)
		}
	case "git", "jj", "hg":
		w.judgeGit(name, a, args)
	case "kill":
		w.kills(a, args)
	case "killall", "pkill", "killall5", "skill", "xkill":
		if !a.has("0l", "--list") {
			w.destroys("processes", args)
		}
	case "fuser":
		if a.has("k", "--kill") {
			w.destroys("processes", args)
		}
	case "systemctl", "service", "launchctl", "rc-service", "supervisorctl", "initctl", "loginctl", "sv", "pm2":
		w.judgeService(name, a, args)
	case "shutdown":
		if !a.has("c") {
			w.destroys("power", args)
		}
	case "reboot", "halt", "poweroff", "kexec", "rtcwake", "pm-suspend", "pm-hibernate", "systemd-halt":
		if !slices.ContainsFunc(a.all, func(v value) bool { return v.is("--help") || v.is("--version") }) {
			w.destroys("power", args)
		}
	case "init", "telinit":
		if ops := a.operands(); len(ops) > 0 && len(ops[0].text) == 1 && strings.Contains("0156sS", ops[0].text) {
			w.destroys("power", args)
		}
	case "ipmitool":
		if t := strings.Join(texts(a.all), " "); strings.Contains(t, "power off") || strings.Contains(t, "power cycle") || strings.Contains(t, "power reset") {
			w.destroys("power", args)
		}
	case "mysql", "mariadb", "psql", "sqlite3", "sqlite", "sqlcmd", "clickhouse-client", "clickhouse", "cockroach", "cqlsh", "duckdb", "usql", "pgcli", "mycli", "bq", "snowsql", "mongo", "mongosh", "mongos", "redis-cli", "valkey-cli", "osql", "isql", "trino", "presto", "hive", "beeline", "impala-shell", "influx", "turso", "litecli":
		w.judgeDatabase(name, a, args, p)
	case "ansible":
		for _, x := range a.all {
			if strings.Contains(x.text, "state=absent") {
				w.destroys("files", args)
			}
		}
	case "dd":
		for _, x := range a.all {
			if file, ok := strings.CutPrefix(x.text, "of="); ok {
				if x.taint&whole != 0 && w.vital(value{file, 0}, false) {
					w.destroys("files", args)
				}
				w.overwrites(value{file, x.taint}, args)
			}
		}
	case "tee", "cp", "install", "ln", "pv", "gcp":
		ops := a.operands("-t", "-m", "-o", "-g", "--target-directory", "-S")
		if name != "tee" && len(ops) > 1 {
			null := ops[0].is("/dev/null")
			ops = ops[len(ops)-1:]
			if null {
				w.destroys("files", args)
			}
		} else if name != "tee" {
			ops = nil
		}
		for _, x := range ops {
			w.overwrites(x, args)
		}
	default:
		if strings.HasPrefix(name, "mkfs") || strings.HasPrefix(name, "newfs") || strings.HasPrefix(name, "mke2fs") {
			w.destroys("disk", args)
			return
		}
		w.judgeWords(name, a, args)
	}
}

// words are the commands that destroy, or print a secret, by their first operands: "name word word". A * stands for
// any words between, a word that ends in * for all that begin so, and -x must be among the options.
var words = map[string][]string{
	"wipefs": {"disk -a", "disk --all", "disk -o", "disk -f"}, "blkdiscard": {"disk"}, "mkswap": {"disk"}, "mkntfs": {"disk"}, "mkdosfs": {"disk"},
	"fdisk": {"disk !-l !--list"}, "sfdisk": {"disk !-l !-d !--dump !--list"}, "gdisk": {"disk !-l"}, "sgdisk": {"disk !-p !-b"}, "cfdisk": {"disk"}, "cgdisk": {"disk"},
	"parted": {"disk * mklabel", "disk * mktable", "disk * rm", "disk * mkpart", "disk * resizepart"}, "badblocks": {"disk -w"},
	"cryptsetup": {"disk luksFormat", "disk erase", "disk luksErase", "disk luksKillSlot", "disk luksRemoveKey", "disk reencrypt"}, "hdparm": {"disk --security-erase", "disk --trim-sector-ranges", "disk --make-bad-sector"},
	"nvme": {"disk format", "disk sanitize", "disk delete-ns"}, "pvremove": {"disk"}, "vgremove": {"disk"}, "lvremove": {"disk"}, "lvreduce": {"disk"},
	"mdadm": {"disk --zero-superblock", "disk --stop", "disk -S", "disk --create"}, "zpool": {"disk destroy", "disk labelclear"}, "zfs": {"disk destroy", "disk rollback"},
	"btrfs": {"disk su* del*", "disk device remove", "disk device delete"}, "dmsetup": {"disk remove*", "disk wipe_table"}, "diskutil": {"disk erase*", "disk secureErase", "disk reformat", "disk zeroDisk", "disk randomDisk", "disk partitionDisk", "disk apfs delete*"},
	"format": {"disk"}, "swapoff": {"system -a"}, "umount": {"disk -a", "disk --all"}, "asr": {"disk restore"}, "debugfs": {"disk -w"}, "tmutil": {"disk delete*"}, "losetup": {"disk -D"}, "partprobe": {},

	"dropdb": {"database"}, "dropuser": {"database"}, "mysqladmin": {"database drop", "database * drop", "power shutdown"}, "mongorestore": {"database --drop"}, "pg_resetwal": {"database"}, "pg_restore": {"database -c", "database --clean"},
	"rails": {"database db:drop*", "database db:reset", "database db:schema:load", "database db:purge", "database db:migrate:reset", "database db:truncate_all"}, "rake": {"database db:drop*", "database db:reset", "database db:purge", "database db:schema:load", "database db:migrate:reset"},
	"prisma":  {"database migrate reset", "database db push --force-reset", "database db push --accept-data-loss", "database db execute"},
	"artisan": {"database migrate:fresh", "database migrate:refresh", "database migrate:reset", "database db:wipe"},
	"php":     {"database artisan migrate:fresh", "database artisan migrate:refresh", "database artisan migrate:reset", "database artisan db:wipe", "database bin/console doctrine:database:drop", "database bin/console doctrine:schema:drop"},
	"python":  {"database manage.py flush", "database manage.py reset_db", "database manage.py sqlflush"}, "python3": {"database manage.py flush", "database manage.py reset_db"}, "django-admin": {"database flush", "database reset_db"}, "./manage.py": {"database flush"}, "manage.py": {"database flush", "database reset_db"},
	"sequelize": {"database db:drop", "database db:migrate:undo:all"}, "sequelize-cli": {"database db:drop", "database db:migrate:undo:all"}, "knex": {"database migrate:rollback --all"}, "typeorm": {"database schema:drop"}, "alembic": {"database downgrade base"}, "flask": {"database db downgrade base"}, "mix": {"database ecto.drop", "database ecto.reset"}, "supabase": {"database db reset", "cloud projects delete"}, "flyway": {"database clean"}, "liquibase": {"database drop-all", "database dropAll"}, "diesel": {"database database reset", "database database drop"}, "sqlx": {"database database drop", "database database reset"}, "drizzle-kit": {"database drop", "database push --force"}, "etcdctl": {"database del", "database defrag"}, "dynamodb": {"database delete*"}, "elasticdump": {}, "mongodump": {}, "cassandra-stress": {}, "nodetool": {"database decommission", "database removenode"}, "kafka-topics": {"database --delete"}, "kafka-topics.sh": {"database --delete"}, "rabbitmqctl": {"database reset", "database force_reset", "database delete_*", "database purge_queue"}, "memcflush": {"database"}, "wp": {"database db drop", "database db reset", "database site empty", "database db clean"}, "drush": {"database sql-drop", "database sql:drop"}, "prisma-cli": {},

	"aws":    {"secrets secretsmanager get-secret-value", "secrets ssm get-parameter* --with-decryption", "secrets configure get aws_s*", "secrets configure get *key", "secrets sts get-session-token", "secrets iam create-access-key", "cloud * rm --recursive", "cloud * rb", "cloud * sync --delete", "cloud * delete-*", "cloud * terminate-*", "cloud * remove-*", "cloud * purge-*", "cloud * deregister-*", "cloud * stop-instances", "cloud * schedule-key-deletion", "cloud * disassociate-*", "cloud * revoke-*", "cloud * reset-*", "cloud * destroy-*", "cloud * detach-*"},
	"gcloud": {"secrets auth print-*", "secrets auth application-default print-*", "secrets secrets versions access", "cloud storage rm", "cloud * delete", "cloud * reset", "cloud * destroy", "cloud * remove-iam-policy-binding", "cloud * stop"}, "gsutil": {"cloud * rm", "cloud * rb", "cloud rsync -d"}, "az": {"secrets account get-access-token", "secrets keyvault secret show", "cloud * delete", "cloud * purge", "cloud * delete-batch", "cloud * deallocate", "cloud * stop"}, "azcopy": {"cloud remove", "cloud rm"},
	"terraform": {"cloud destroy", "cloud * destroy", "cloud apply -destroy", "cloud apply --destroy", "cloud state rm", "cloud workspace delete", "cloud force-unlock", "cloud taint"}, "tofu": {"cloud destroy", "cloud * destroy", "cloud apply -destroy", "cloud state rm"}, "terragrunt": {"cloud destroy", "cloud run-all destroy", "cloud destroy-all", "cloud * destroy"}, "pulumi": {"cloud destroy", "cloud stack rm", "cloud state delete", "cloud * destroy"}, "cdk": {"cloud destroy"}, "cdktf": {"cloud destroy"}, "serverless": {"cloud remove"}, "sls": {"cloud remove"}, "sam": {"cloud delete"}, "amplify": {"cloud delete"}, "eb": {"cloud terminate"}, "sst": {"cloud remove"}, "copilot": {"cloud * delete"},
	"heroku": {"secrets config", "secrets auth:token", "cloud apps:destroy", "cloud pg:reset", "cloud addons:destroy", "cloud apps destroy", "cloud * destroy"}, "doctl": {"cloud * delete", "cloud * rm", "cloud * d"}, "flyctl": {"cloud apps destroy", "cloud destroy", "cloud * destroy", "cloud * delete"}, "fly": {"cloud apps destroy", "cloud destroy", "cloud * destroy", "cloud * delete"}, "vercel": {"cloud rm", "cloud remove", "cloud project rm", "cloud * rm"}, "netlify": {"cloud sites:delete", "cloud * delete"}, "firebase": {"cloud *:delete", "cloud projects:delete", "cloud firestore:delete", "cloud database:remove", "cloud functions:delete", "cloud hosting:disable"}, "wrangler": {"cloud delete", "cloud * delete"}, "hcloud": {"cloud * delete", "cloud * poweroff", "cloud * rebuild"}, "linode-cli": {"cloud * delete", "cloud * rm", "cloud * rebuild"}, "railway": {"cloud down", "cloud delete"}, "render": {"cloud * delete"}, "oci": {"cloud * delete", "cloud * terminate"}, "ibmcloud": {"cloud * delete", "cloud * rm"}, "scw": {"cloud * delete", "cloud * terminate"}, "vultr-cli": {"cloud * delete"}, "exo": {"cloud * delete"}, "openstack": {"cloud * delete"}, "s3cmd": {"cloud del", "cloud rb", "cloud rm", "cloud sync --delete-removed"}, "s5cmd": {"cloud rm", "cloud rb"}, "mc": {"cloud rm", "cloud rb"}, "b2": {"cloud delete*", "cloud rm"}, "gh": {"cloud repo delete", "cloud release delete", "cloud repo archive", "cloud secret delete", "cloud * delete", "cloud api DELETE", "cloud api -XDELETE", "cloud api --method=DELETE", "secrets auth token"}, "glab": {"cloud repo delete", "cloud * delete"}, "npm": {"cloud unpublish", "cloud deprecate"}, "cargo": {"cloud yank"}, "gem": {"cloud yank"}, "vault": {"secrets kv get", "secrets read", "secrets print token", "cloud * delete", "cloud kv destroy", "cloud secrets disable", "cloud operator seal", "cloud delete", "cloud auth disable", "cloud audit disable", "cloud token revoke", "cloud lease revoke", "cloud policy delete"}, "consul": {"cluster kv delete"}, "packer": {}, "restic": {"files forget", "files prune"}, "borg": {"files delete", "files prune"},

	"docker":         {"containers system prune", "containers volume prune", "containers image prune -a", "containers container prune", "containers network prune", "containers builder prune", "containers buildx prune", "containers rm -f", "containers rm --force", "containers container rm -f", "containers rmi -f", "containers rmi --force", "containers volume rm", "containers volume remove", "containers * down -v", "containers * down --volumes", "containers * down --rmi", "containers swarm leave", "containers stack rm", "containers service rm", "containers kill", "containers * rm -s", "containers * rm -fsv", "containers secret rm", "containers context rm", "containers image rm -f", "containers network rm"},
	"docker-compose": {"containers down -v", "containers down --volumes", "containers down --rmi", "containers rm -f", "containers * down -v", "containers kill", "containers rm -fsv"},
	"podman":         {"containers system prune", "containers system reset", "containers volume prune", "containers image prune -a", "containers container prune", "containers rm -f", "containers rm --force", "containers rmi -f", "containers volume rm", "containers pod rm", "containers machine rm", "containers kill"}, "nerdctl": {"containers system prune", "containers volume prune", "containers rm -f", "containers volume rm"}, "buildah": {"containers rm -a", "containers rmi -a"}, "crictl": {"containers rm", "containers rmi", "containers rmp"}, "lxc": {"containers delete", "containers * delete"}, "incus": {"containers delete", "containers * delete"}, "lxc-destroy": {"containers"}, "vagrant": {"containers destroy"}, "virsh": {"containers destroy", "containers undefine", "containers vol-delete", "containers * delete*"}, "multipass": {"containers delete", "containers purge"}, "limactl": {"containers delete"}, "colima": {"containers delete"}, "VBoxManage": {"containers unregistervm", "containers closemedium"}, "vboxmanage": {"containers unregistervm"}, "qm": {"containers destroy"}, "pct": {"containers destroy"}, "skopeo": {"containers delete"}, "crane": {"containers delete"}, "regctl": {"containers * delete"}, "machinectl": {"containers remove", "containers terminate", "containers poweroff"},

	"kubectl": {"secrets get secret* -o", "secrets get secret* --output", "secrets config view --raw", "secrets create token", "cluster delete", "cluster drain", "cluster cordon", "cluster replace --force", "cluster scale --replicas=0", "cluster scale --replicas 0", "cluster * delete", "cluster apply --prune", "cluster taint", "cluster rollout undo", "cluster * drain"}, "oc": {"cluster delete", "cluster * delete", "cluster adm drain", "cluster scale --replicas=0"}, "k": {"cluster delete"}, "helm": {"cluster uninstall", "cluster delete", "cluster del", "cluster un", "cluster rollback", "cluster * uninstall"}, "kubeadm": {"cluster reset"}, "minikube": {"cluster delete"}, "kind": {"cluster delete"}, "k3d": {"cluster cluster delete", "cluster * delete"}, "k3s-uninstall.sh": {"cluster"}, "k3s-killall.sh": {"cluster"}, "eksctl": {"cluster delete"}, "kops": {"cluster delete"}, "rancher": {"cluster delete"}, "argocd": {"cluster app delete", "cluster * delete"}, "flux": {"cluster uninstall", "cluster delete"}, "istioctl": {"cluster uninstall", "cluster x uninstall"}, "talosctl": {"cluster reset"}, "nomad": {"cluster job stop", "cluster stop", "cluster system gc", "cluster * purge"}, "velero": {"cluster * delete"}, "kustomize": {}, "linkerd": {"cluster uninstall"}, "cilium": {"cluster uninstall"}, "skaffold": {"cluster delete"}, "tilt": {"cluster down"}, "devspace": {"cluster purge"}, "helmfile": {"cluster destroy", "cluster delete", "cluster * destroy"},

	"crontab": {"system -r"}, "userdel": {"system"}, "deluser": {"system"}, "groupdel": {"system"}, "rmmod": {"system"}, "modprobe": {"system -r", "system --remove"}, "iptables": {"system -F", "system --flush", "system -X", "system -P"}, "ip6tables": {"system -F", "system --flush"}, "nft": {"system flush", "system delete"}, "ufw": {"system disable", "system reset"}, "firewall-cmd": {"system --panic-on"}, "setenforce": {"system 0"}, "pfctl": {"system -F", "system -d"}, "ip": {"system link set * down", "system link delete", "system addr flush", "system route flush"}, "ifconfig": {"system * down"}, "ifdown": {"system"}, "nmcli": {"system * delete", "system * off"},
	"apt": {"system remove", "system purge", "system autoremove"}, "apt-get": {"system remove", "system purge", "system autoremove"}, "dpkg": {"system -r", "system -P", "system --purge", "system --remove"}, "yum": {"system remove", "system erase"}, "dnf": {"system remove", "system erase", "system autoremove"}, "rpm": {"system -e", "system --erase"}, "pacman": {"system -R*"}, "zypper": {"system remove", "system rm"}, "apk": {"system del"}, "brew": {"system uninstall", "system remove", "system rm"}, "snap": {"system remove"}, "flatpak": {"system uninstall"}, "port": {"system uninstall"}, "nix-collect-garbage": {"system -d"}, "journalctl": {"system --vacuum*", "system --rotate"}, "auditctl": {"system -e", "system -D"}, "history": {"system -c"}, "tc": {}, "gpg": {"secrets --export-secret-*", "files --delete*"}, "security": {"secrets find-generic-password -w", "secrets find-internet-password -w", "secrets find-generic-password -g", "secrets dump-keychain", "system delete-*"}, "defaults": {"system delete"}, "csrutil": {"system disable"}, "spctl": {"system --master-disable"}, "dscl": {"system * -delete"}, "wsl": {"containers --unregister"}, "vssadmin": {"disk delete"}, "bcdedit": {"system"}, "reg": {"system delete"}, "diskpart": {"disk"}, "cipher": {"files /w*"}, "wbadmin": {"disk delete*"}, "schtasks": {"system /delete"}, "taskkill": {"processes"},
	"busctl": {"power * PowerOff", "power * Reboot"}, "dbus-send": {"power * *.PowerOff", "power * *.Reboot"},
	"pass": {"secrets show", "files rm"}, "op": {"secrets read", "secrets item get"}, "bw": {"secrets get"}, "secret-tool": {"secrets lookup"}, "sops": {"secrets -d", "secrets --decrypt", "secrets decrypt"}, "ansible-vault": {"secrets view", "secrets decrypt"}, "doppler": {"secrets secrets"}, "keyring": {"secrets get"}, "gopass": {"secrets show"},
	"svn":       {"git revert", "git cleanup --remove-unversioned"},
	"logrotate": {"files -f"}, "yarn": {"cloud unpublish", "cloud npm unpublish"}, "pnpm": {"cloud unpublish"}, "npx": {}, "ollama": {"files rm"},
}

// judgeWords judges by the table of words.
func (w *follower) judgeWords(name string, a arguments, args []value) {
	entries := words[name]
	if len(entries) == 0 {
		return
	}
	help := slices.ContainsFunc(a.all, func(v value) bool {
		return v.is("--help") || v.is("-h") && len(a.all) == 1 || v.is("--version") || v.is("help") || strings.HasPrefix(v.text, "--dry-run") && !v.is("--dry-run=none")
	})
	if help {
		return
	}
	var ops, options []string
	for _, x := range a.all {
		switch {
		case len(x.text) > 1 && (x.text[0] == '-' || x.text[0] == '/' && name == "cipher"):
			options = append(options, x.text)
		default:
			ops = append(ops, x.text)
		}
	}
	for _, entry := range entries {
		class, form, _ := strings.Cut(entry, " ")
		if begunBy(strings.Fields(form), ops, options) {
			if class == "secrets" {
				w.list(&w.out.Secrets, cut(joined(args).shown(), 200))
			} else {
				w.destroys(class, args)
			}
			return
		}
	}
}

// begunBy reports whether operands and options have the form of an entry of words.
func begunBy(form, ops, options []string) bool {
	anywhere, at := false, 0
	for _, f := range form {
		switch {
		case f == "*":
			anywhere = true
			continue
		case strings.HasPrefix(f, "!"):
			if slices.Contains(options, f[1:]) {
				return false
			}
			continue
		case f[0] == '-' || f[0] == '/':
			if !slices.ContainsFunc(options, func(o string) bool { return optionIs(o, f) }) {
				return false
			}
			continue
		}
		found := -1
		for i := at; i < len(ops); i++ {
			if wordIs(ops[i], f) {
				found = i
				break
			}
			if !anywhere && i-at >= 1+len(options) { // the values of options before it
				break
			}
		}
		if found < 0 || !anywhere && found > at && len(options) == 0 {
			return false
		}
		at = found + 1
	}
	return true
}

func wordIs(word, form string) bool {
	if suffix, ok := strings.CutPrefix(form, "*"); ok {
		return strings.HasSuffix(word, suffix)
	}
	if prefix, ok := strings.CutSuffix(form, "*"); ok {
		return strings.HasPrefix(word, prefix)
	}
	return word == form
}

func optionIs(option, form string) bool {
	switch {
	case strings.HasSuffix(form, "*"):
		return strings.HasPrefix(option, strings.TrimSuffix(form, "*"))
	case option == form || strings.HasPrefix(option, form+"="):
		return true
	case len(form) == 2 && len(option) > 1 && option[1] != '-': // one letter among others
		return strings.IndexByte(option[1:], form[1]) >= 0
	}
	return false
}

// systemDirs are directories that a system or its users do not survive without.
var systemDirs = set(`/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /usr /var
	/Users /System /Library /Applications /Volumes /private /nix /snap /data /tmp/.. /var/lib /var/log /var/www /var/lib/docker /var/lib/postgresql /var/lib/mysql /mnt/c /c`)

// systemTrees are those of which every file counts.
var systemTrees = []string{"/bin/", "/boot/", "/etc/", "/lib/", "/lib64/", "/sbin/", "/usr/", "/sys/", "/proc/", "/dev/", "/System/", "/Library/", "/var/lib/"}

// vital reports whether a recursive deletion of what x names takes away a system, a home,
// the workspace, or everything that lies in one. filtered: only some of what is below goes.
func (w *follower) vital(x value, filtered bool) bool {
	if x.text == "" || x.text == anything || x.text == some {
		return false
	}
	for _, dir := range w.dirs {
		if w.vitalIn(dir, x, filtered) {
			return true
		}
	}
	return false
}

func (w *follower) vitalIn(dir string, x value, filtered bool) bool {
	target := x.text
	if strings.HasPrefix(target, anything) && !strings.HasPrefix(target, anything+"/") { // "$x"name
		return false
	}
	target = least.Replace(target)
	if x.text != target && strings.Trim(target, "/"+star+".") != "" && !strings.HasPrefix(target, home) && strings.HasPrefix(x.text, anything) {
		return false // "$x/build" is the build of something
	}
	full := join(dir, target)
	base := path.Base(full)
	globbed := base == star || base == "."+star || base == star+star || base == mark+star || base == star+"."+star || strings.HasPrefix(base, "."+bracket) || base == "."+mark+star || base == bracket+star
	if strings.HasPrefix(base, bracket) && strings.HasSuffix(base, "]"+star) {
		globbed = true
	}
	if globbed {
		full = path.Dir(full)
	}
	switch {
	case strings.ContainsAny(full, some) && !strings.HasPrefix(full, home+"/"):
		return globbed && strings.Trim(full, some+"/") == "" && dir == some
	case systemDirs[full], strings.HasPrefix(full, "/") && strings.ContainsAny(full, star+mark) && strings.Count(full, "/") == 1:
		return true
	case full == home || full == w.cwd && !filtered || full == w.cwd+"/.git":
		return true
	case full == "." || full == ".." || strings.HasPrefix(full, "../") && strings.Trim(full, "./") == "" || full == "." && globbed:
		return true
	case strings.HasPrefix(w.cwd, full+"/"):
		return true
	case strings.HasPrefix(full, "/home/") || strings.HasPrefix(full, "/Users/"):
		if strings.Count(full, "/") == 2 || strings.Count(full, "/") == 3 && homeDirs[path.Base(full)] {
			return true
		}
	case strings.HasPrefix(full, home+"/"):
		rest := full[len(home)+1:]
		if homeDirs[rest] || strings.ContainsAny(rest, star) && !strings.Contains(rest, "/") && strings.Trim(rest, star+"."+mark) == "" || rest == ".." {
			return true
		}
	}
	for _, tree := range systemTrees {
		if strings.HasPrefix(full, tree) && !strings.HasPrefix(full, "/usr/local/") && !strings.HasPrefix(full, "/usr/src/") && !strings.HasPrefix(full, "/dev/shm/") {
			return true
		}
	}
	return !filtered && w.elsewhere(full)
}

// elsewhere reports whether a path leads out of the workspace, to nothing that is there to be thrown away.
func (w *follower) elsewhere(full string) bool {
	if w.cwd == "." || w.dirs[0] == some || strings.HasPrefix(full, w.cwd+"/") || strings.ContainsAny(full, some) {
		return strings.HasPrefix(full, "../")
	}
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/private/tmp/", "/var/folders/", home + "/tmp/"} {
		if strings.HasPrefix(full, dir) {
			return false
		}
	}
	for _, part := range []string{"/node_modules/", "/.cache/", "/Caches/", "/.npm/", "/__pycache__/"} {
		if strings.Contains(full+"/", part) {
			return false
		}
	}
	return strings.HasPrefix(full, "/") || strings.HasPrefix(full, home) || strings.HasPrefix(full, "..")
}

func (w *follower) isCwd(x value) bool {
	at := w.at(x.least())
	return at == w.cwd || at == w.cwd+"/"+star || strings.HasPrefix(at, w.cwd+"/")
}

// homeDirs are what people have in their homes.
var homeDirs = set(`Documents Desktop Downloads Pictures Music Movies Videos Library Applications projects Projects src code Code dev work repos workspace git go
	.ssh .gnupg .aws .kube .config .local .password-store .mozilla .git`)

// deletes judges a recursive deletion.
func (w *follower) deletes(x value, filtered bool, args []value) {
	w.mustBeKnown(x, args)
	if w.device(x) {
		w.destroys("disk", args)
		return
	}
	at := w.at(x.least())
	if (path.Base(at) == ".git" || strings.Contains(at, "/.git/") || strings.HasPrefix(at, ".git/")) && !filtered && !strings.HasSuffix(at, ".lock") {
		w.destroys("git", args)
		return
	}
	if w.vital(x, filtered) {
		w.destroys("files", args)
	}
}

// mustBeKnown notes a deletion of which nothing is known.
func (w *follower) mustBeKnown(x value, args []value) {
	if strings.Trim(x.text, anything+some) == "" && x.text != "" {
		w.unknown("what " + args[0].shown() + " deletes is known only when it runs")
	}
}

// deletesFile judges the deletion of a file, or of what a pattern matches.
func (w *follower) deletesFile(x value, args []value) {
	w.mustBeKnown(x, args)
	base := path.Base(x.text)
	if x.taint&whole != 0 && w.vital(x, false) {
		w.destroys("files", args)
	}
	if base == star || base == star+"."+star || base == "."+star {
		w.deletes(x, false, args)
		return
	}
	w.overwrites(x, args)
}

// overwrites judges a file whose content goes.
func (w *follower) overwrites(x value, args []value) {
	if w.device(x) {
		w.destroys("disk", args)
		return
	}
	at := w.at(x.least())
	if at == "/proc/sysrq-trigger" {
		w.destroys("power", args)
		return
	}
	for _, tree := range []string{"/bin/", "/boot/", "/sbin/", "/lib/", "/lib64/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/sys/", "/proc/sys", "/System/"} {
		if strings.HasPrefix(at, tree) {
			w.destroys("system", args)
			return
		}
	}
	if systemFiles[at] {
		w.destroys("system", args)
	}
	if strings.HasSuffix(at, "/.git/HEAD") || strings.HasSuffix(at, "/.git/index") && !strings.HasSuffix(at, ".lock") {
		w.destroys("git", args)
	}
}

var systemFiles = set(`/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/sudoers /etc/fstab /etc/hosts /etc/resolv.conf /etc/crontab /etc/ld.so.preload /etc/ld.so.conf /etc/ssh/sshd_config
	/etc/nsswitch.conf /etc/pam.conf /etc/machine-id /etc/hostname /etc/profile /etc/bash.bashrc /etc/environment`)

// device reports whether x is a disk or memory.
func (w *follower) device(x value) bool {
	at, ok := strings.CutPrefix(w.at(x.text), "/dev/")
	if !ok {
		return false
	}
	for _, d := range []string{"sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk", "rdisk", "mapper/", "md", "dm-", "loop", "mem", "kmem", "port", "sr", "nbd", "dasd", "ram", "zram", "pmem", "mtd"} {
		if strings.HasPrefix(at, d) {
			return true
		}
	}
	return at != "" && (at[0] == star[0] || at[0] == mark[0])
}

func (w *follower) kills(a arguments, args []value) {
	for i, x := range a.all {
		switch {
		case x.is("-l") || x.is("-L") || x.is("--list") || x.is("-0"):
			return
		case x.is("-1") && i > 0, x.is("1"), x.is("0") && i > 0, x.is("--") && i+1 < len(a.all) && a.all[i+1].is("-1"):
			if x.is("1") && i > 0 && (a.all[i-1].is("-s") || a.all[i-1].is("-n")) {
				continue
			}
			w.destroys("processes", args)
			return
		}
	}
}

func (w *follower) judgeService(name string, a arguments, args []value) {
	for _, x := range a.operands("-H", "-M", "-t", "-p", "-n") {
		switch x.text {
		case "poweroff", "reboot", "halt", "kexec", "suspend", "hibernate", "hybrid-sleep", "rescue", "emergency", "soft-reboot", "isolate":
			w.destroys("power", args)
		case "stop", "disable", "mask", "kill", "unload", "bootout", "remove", "terminate-user", "terminate-session", "kill-session", "kill-user", "delete", "revert", "down", "shutdown", "force-stop", "set-default":
			w.destroys("processes", args)
		default:
			continue
		}
		return
	}
}

var (
	sqlDrops    = regexp.MustCompile(`(?i)\b(?:drop\s+(?:database|table|schema|user|role|tablespace|view|index|keyspace|owned|column)|truncate\b|alter\s+table\s+\S+\s+drop|reset\s+master|purge\s+binary|db\.dropDatabase|\.drop\s*\(|deleteMany\s*\(\s*\{\s*\}|\.remove\s*\(\s*\{\s*\}|flushall|flushdb|script\s+flush|dropDatabase)`)
	sqlDeletes  = regexp.MustCompile(`(?i)\b(?:delete\s+from\s+[^\s;]+|update\s+[^\s;]+\s+set\b[^;]*)`)
	sqlAlways   = regexp.MustCompile(`(?i)\bwhere\s+(?:1\s*=\s*1|true|1|''\s*=\s*'')\s*$`)
	sqlWhere    = regexp.MustCompile(`(?i)\bwhere\b`)
	sqlComments = regexp.MustCompile(`(?s)/\*.*?\*/|--[^\n]*`)
	sqlTexts    = regexp.MustCompile(`'(?:[^']|'')*'`)
)

// judgeDatabase looks for SQL, and its like, that takes tables or all rows away.
func (w *follower) judgeDatabase(name string, a arguments, args []value, p place) {
	codes := texts(a.all)
	if p.in != nil {
		codes = append(codes, p.in.text)
		if p.in.open() {
			w.unknown(name + " runs what comes over its input")
		}
	}
	if name == "bq" {
		w.judgeBQ(a, args)
	}
	for _, code := range codes {
		if len(code) > maxText {
			w.unknown(name + " is given code that is too long")
			continue
		}
		if code = sqlComments.ReplaceAllString(code, " "); !strings.HasSuffix(name, "-cli") { // eval "redis.call('flushall')"
			code = sqlTexts.ReplaceAllString(code, "''")
		}
		bad := sqlDrops.MatchString(code)
		for statement := range strings.SplitSeq(code, ";") {
			statement = sqlAlways.ReplaceAllString(strings.TrimSpace(statement), "")
			bad = bad || sqlDeletes.MatchString(statement) && !sqlWhere.MatchString(statement)
		}
		if bad {
			w.destroys("database", args)
			return
		}
	}
	if name == "redis-cli" && slices.ContainsFunc(codes, func(s string) bool { return strings.EqualFold(s, "shutdown") }) {
		w.destroys("database", args)
	}
}

func (w *follower) judgeBQ(a arguments, args []value) {
	if ops := a.operands(); len(ops) > 0 && ops[0].is("rm") {
		w.destroys("database", args)
	}
}
