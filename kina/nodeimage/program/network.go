package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/ioutil"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Marks the routes that are ours, for those of nodes that are gone (`ip route show proto 75`).
const routeProtocol = 75

// Ours in the nat table: what pods send to anything but pods leaves with the node's address.
const masqueradeChain = "KINA-MASQUERADE"

// runNetwork keeps three things as the cluster's Nodes say: the addresses of this node's pods (for the
// IPAM plugin, which waits for them), a route to every other node's pods, and masquerading.
func runNetwork(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("network", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "/etc/kubernetes/kubelet.conf", "the kubelet's credentials")
	ipam := flags.String("ipam", "/run/kina/ipam.json", "where the IPAM plugin looks for its configuration")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	name, err := nodeName(config)
	if err != nil {
		return err
	}
	clients, err := client(config)
	if err != nil {
		return err
	}
	// A new cluster's API is not there yet. Informers would back off for seconds, and pods wait for us.
	if err := waitForNode(ctx, clients, name); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(clients, resync)
	nodes := factory.Core().V1().Nodes()
	// Heartbeats change a Node every few seconds: only the state of all of them counts, and the last
	// one to ask is enough.
	wake := make(chan struct{}, 1)
	nodes.Informer().AddEventHandler(handler(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}))
	network := &network{name: name, ipam: *ipam, nodes: nodes.Lister()}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return ctx.Err()
	}
	for {
		if err := network.apply(); err != nil {
			klog.ErrorS(err, "Not applied; another try follows")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
	}
}

// waitForNode waits until the controller manager has given the node its pods' addresses.
func waitForNode(ctx context.Context, clients kubernetes.Interface, name string) error {
	return wait.PollImmediateUntil(startPeriod, func() (bool, error) {
		node, err := clients.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		return err == nil && node.Spec.PodCIDR != "", nil
	}, ctx.Done())
}

func handler(changed func()) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(interface{}) { changed() },
		UpdateFunc: func(interface{}, interface{}) { changed() },
		DeleteFunc: func(interface{}) { changed() },
	}
}

// nodeName reads who the kubelet is from its certificate: its host's name may be another one.
func nodeName(config *rest.Config) (string, error) {
	data := config.CertData
	if len(data) == 0 {
		var err error
		if data, err = ioutil.ReadFile(config.CertFile); err != nil {
			return "", err
		}
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", err
		}
		if name := strings.TrimPrefix(certificate.Subject.CommonName, "system:node:"); name != "" {
			return name, nil
		}
	}
	return "", errors.New("the kubelet's certificate names no node")
}

type network struct {
	name  string
	ipam  string
	nodes corelisters.NodeLister
	rules string // as they were written last
}

func (n *network) apply() error {
	nodes, err := n.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	var own []*net.IPNet
	var all []*net.IPNet
	wanted := map[string]netlink.Route{}
	for _, node := range nodes {
		cidrs := podNetworks(node)
		all = append(all, cidrs...)
		if node.Name == n.name {
			own = cidrs
			continue
		}
		gateway := internalIP(node)
		if gateway == nil {
			continue
		}
		for _, cidr := range cidrs {
			wanted[cidr.String()] = netlink.Route{Dst: cidr, Gw: gateway, Protocol: routeProtocol}
		}
	}
	if len(own) == 0 {
		return nil // the controller manager has not given this node its pods' addresses yet
	}
	var failures []string
	for _, step := range []func() error{
		// Routes and rules first: the IPAM file is what pods wait for.
		func() error { return setRoutes(wanted) },
		func() error { return n.masquerade(own, all) },
		func() error { return writeIPAM(n.ipam, own) },
	} {
		if err := step(); err != nil {
			failures = append(failures, err.Error())
		}
	}
	if len(failures) > 0 {
		return errors.New(strings.Join(failures, "; "))
	}
	return nil
}

// podNetworks returns the IPv4 networks of a node's pods.
func podNetworks(node *corev1.Node) []*net.IPNet {
	var found []*net.IPNet
	for _, text := range node.Spec.PodCIDRs {
		if _, cidr, err := net.ParseCIDR(text); err == nil && cidr.IP.To4() != nil {
			found = append(found, cidr)
		}
	}
	return found
}

func internalIP(node *corev1.Node) net.IP {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			if ip := net.ParseIP(address.Address).To4(); ip != nil {
				return ip
			}
		}
	}
	return nil
}

// setRoutes makes the wanted routes and removes those of ours that are not wanted.
func setRoutes(wanted map[string]netlink.Route) error {
	present, err := netlink.RouteListFiltered(
		unix.AF_INET, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	kept := map[string]bool{}
	for i := range present {
		route := present[i]
		if route.Dst == nil {
			continue
		}
		destination := route.Dst.String()
		if want, ok := wanted[destination]; ok && want.Gw.Equal(route.Gw) {
			kept[destination] = true
			continue
		}
		if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing the route to %s: %w", destination, err)
		}
		klog.InfoS("Route removed", "to", destination, "via", route.Gw)
	}
	for destination, route := range wanted {
		if kept[destination] {
			continue
		}
		route := route
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("the route to %s via %s: %w", destination, route.Gw, err)
		}
		klog.InfoS("Route added", "to", destination, "via", route.Gw)
	}
	return nil
}

// masquerade writes the chain in one transaction, when it is not what was written before.
func (n *network) masquerade(own, all []*net.IPNet) error {
	sort.Slice(all, func(i, j int) bool { return bytes.Compare(all[i].IP, all[j].IP) < 0 })
	var rules strings.Builder
	fmt.Fprintf(&rules, "*nat\n:%s - [0:0]\n", masqueradeChain)
	for _, cidr := range all {
		fmt.Fprintf(&rules, "-A %s -d %s -j RETURN\n", masqueradeChain, cidr)
	}
	fmt.Fprintf(&rules, "-A %s -d 224.0.0.0/4 -j RETURN\n", masqueradeChain)
	fmt.Fprintf(&rules, "-A %s -j MASQUERADE\nCOMMIT\n", masqueradeChain)
	if rules.String() == n.rules {
		return nil
	}
	if err := iptables(rules.String(), "iptables-restore", "-w", "5", "--noflush"); err != nil {
		return err
	}
	for _, cidr := range own {
		rule := []string{"POSTROUTING", "-s", cidr.String(), "-m", "comment", "--comment",
			"kina: pods to the outside", "-j", masqueradeChain}
		base := []string{"iptables", "-w", "5", "-t", "nat"}
		if iptables("", append(append(base, "-C"), rule...)...) == nil {
			continue
		}
		if err := iptables("", append(append(base, "-A"), rule...)...); err != nil {
			return err
		}
	}
	n.rules = rules.String()
	return nil
}

func iptables(input string, command ...string) error {
	process := exec.Command(command[0], command[1:]...)
	process.Stdin = strings.NewReader(input)
	if output, err := process.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command[0], err, strings.TrimSpace(string(output)))
	}
	return nil
}

// writeIPAM writes what host-local is to be told: the plugin waits until it is there.
func writeIPAM(path string, own []*net.IPNet) error {
	type object = map[string]interface{}
	ranges := []interface{}{}
	for _, cidr := range own {
		ranges = append(ranges, []interface{}{object{"subnet": cidr.String()}})
	}
	data, err := json.Marshal(object{
		"type": "host-local", "ranges": ranges, "routes": []interface{}{object{"dst": "0.0.0.0/0"}},
		// What was given before a restart is nobody's afterwards.
		"dataDir": filepath.Join(filepath.Dir(path), "ipam"),
	})
	if err != nil {
		return err
	}
	if before, err := ioutil.ReadFile(path); err == nil && bytes.Equal(before, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := ioutil.WriteFile(temporary, data, 0o644); err != nil {
		return err
	}
	klog.InfoS("Pods have addresses", "ranges", own)
	return os.Rename(temporary, path)
}
