package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// corefile is what we read of CoreDNS's configuration: kubeadm writes one for the version it deploys, and
// our image stands in for CoreDNS's under its name.
type corefile struct {
	zone      string
	upstreams []string
}

// runDNS answers the cluster's zone from a watch on Services and Endpoints, and forwards everything else.
func runDNS(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dns", flag.ExitOnError)
	conf := flags.String("conf", "/etc/coredns/Corefile", "CoreDNS's configuration")
	listen := flags.String("listen", ":53", "where to answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := readCorefile(*conf)
	if err != nil {
		return err
	}
	clients, err := inCluster(ctx)
	if err != nil {
		return err
	}
	// Endpoints, not slices: kubeadm 1.20's role for CoreDNS has no others, and every version has these.
	factory := informers.NewSharedInformerFactory(clients, 0)
	services := factory.Core().V1().Services().Informer()
	endpoints := factory.Core().V1().Endpoints().Informer()
	if err := services.AddIndexers(cache.Indexers{byAddress: serviceAddresses}); err != nil {
		return err
	}
	if err := endpoints.AddIndexers(cache.Indexers{byAddress: endpointAddresses}); err != nil {
		return err
	}
	zone := &zone{
		origin:    config.zone,
		services:  services.GetIndexer(),
		endpoints: endpoints.GetIndexer(),
		resolver:  &resolver{servers: config.upstreams},
	}
	synced := func() bool { return services.HasSynced() && endpoints.HasSynced() }
	failed := make(chan error, 4)
	serveHealth(":8080", "/health", func() bool { return true }, failed)
	serveHealth(":8181", "/ready", synced, failed)
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return ctx.Err()
	}
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: *listen, Net: network, Handler: zone}
		go func() { failed <- server.ListenAndServe() }()
	}
	klog.InfoS("Answering", "zone", config.zone, "upstreams", config.upstreams)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		// Requests still come until kube-proxy has heard of our end.
		time.Sleep(time.Second)
		return nil
	}
}

func serveHealth(address, path string, healthy func() bool, failed chan<- error) {
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		if !healthy() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "OK")
	})
	go func() { failed <- http.ListenAndServe(address, mux) }()
}

// readCorefile takes the zone of the kubernetes plugin and the servers of forward; the rest is CoreDNS's.
func readCorefile(path string) (corefile, error) {
	config := corefile{zone: "cluster.local."}
	file, err := os.Open(path)
	if err != nil {
		return config, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(strings.SplitN(lines.Text(), "#", 2)[0])
		switch {
		case len(words) > 1 && words[0] == "kubernetes":
			config.zone = dns.CanonicalName(words[1])
		case len(words) > 2 && words[0] == "forward" && words[1] == ".":
			for _, word := range words[2:] {
				if word != "{" {
					config.upstreams = append(config.upstreams, servers(word)...)
				}
			}
		}
	}
	return config, lines.Err()
}

// servers reads one target of forward: an address, with or without a port, or a file such as resolv.conf.
func servers(target string) []string {
	if !strings.HasPrefix(target, "/") {
		target = strings.TrimPrefix(target, "dns://")
		if strings.Contains(target, ":") {
			return []string{target}
		}
		return []string{target + ":53"}
	}
	found, err := dns.ClientConfigFromFile(target)
	if err != nil {
		klog.ErrorS(err, "No upstream servers", "file", target)
		return nil
	}
	var addresses []string
	for _, server := range found.Servers {
		addresses = append(addresses, server+":"+found.Port)
	}
	return addresses
}

// resolver asks the upstream servers in turn, over the protocol that the question came with.
type resolver struct {
	servers []string
}

func (r *resolver) ask(question *dns.Msg, network string) *dns.Msg {
	client := &dns.Client{Net: network, Timeout: 2 * time.Second}
	for _, server := range r.servers {
		answer, _, err := client.Exchange(question, server)
		if err == nil && answer.Rcode != dns.RcodeServerFailure {
			return answer
		}
	}
	answer := new(dns.Msg)
	answer.SetRcode(question, dns.RcodeServerFailure)
	return answer
}
