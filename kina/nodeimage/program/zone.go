package main

import (
	"net"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// zone answers what Kubernetes' DNS specification (version 1.1.0) says, straight from the informers'
// stores: nothing is computed ahead, so nothing can be stale.
type zone struct {
	origin    string // "cluster.local."
	services  cache.Indexer
	endpoints cache.Indexer
	resolver  *resolver
}

const (
	ttl          = 5 // seconds; what CoreDNS's kubernetes plugin gives
	byAddress    = "address"
	specVersion  = "1.1.0"
	maxUDPAnswer = 1232 // without fragments on any path; resolvers that want more use TCP
)

func serviceAddresses(object interface{}) ([]string, error) {
	service, ok := object.(*corev1.Service)
	if !ok || service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil, nil
	}
	return []string{service.Spec.ClusterIP}, nil
}

func endpointAddresses(object interface{}) ([]string, error) {
	endpoints, ok := object.(*corev1.Endpoints)
	if !ok {
		return nil, nil
	}
	var addresses []string
	for _, subset := range endpoints.Subsets {
		for _, address := range subset.Addresses {
			addresses = append(addresses, address.IP)
		}
	}
	return addresses, nil
}

// ServeDNS answers one request.
func (z *zone) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	network := writer.LocalAddr().Network()
	var answer *dns.Msg
	if len(request.Question) != 1 || request.Opcode != dns.OpcodeQuery {
		answer = new(dns.Msg)
		answer.SetRcode(request, dns.RcodeNotImplemented)
	} else if answer = z.answer(request, network); answer == nil {
		answer = z.resolver.ask(request, network)
	}
	if network == "udp" {
		size := dns.MinMsgSize
		if options := request.IsEdns0(); options != nil {
			size = int(options.UDPSize())
			if size > maxUDPAnswer {
				size = maxUDPAnswer
			}
		}
		answer.Truncate(size)
	}
	_ = writer.WriteMsg(answer) // whoever asked is gone; nobody else would want to know
}

// answer returns nil for what is not the cluster's.
func (z *zone) answer(request *dns.Msg, network string) *dns.Msg {
	question := request.Question[0]
	name := dns.CanonicalName(question.Name)
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.Authoritative = true
	if options := request.IsEdns0(); options != nil {
		reply.SetEdns0(maxUDPAnswer, false)
	}
	if strings.HasSuffix(name, ".in-addr.arpa.") {
		names := z.namesOf(reverseAddress(name))
		if len(names) == 0 {
			return nil // an address outside the cluster has its name outside
		}
		if question.Qtype == dns.TypePTR || question.Qtype == dns.TypeANY {
			for _, target := range names {
				reply.Answer = append(reply.Answer, &dns.PTR{Hdr: header(question.Name, dns.TypePTR), Ptr: target})
			}
		}
		return z.finish(reply, true)
	}
	if name != z.origin && !strings.HasSuffix(name, "."+z.origin) {
		return nil
	}
	records, exists := z.records(strings.TrimSuffix(strings.TrimSuffix(name, z.origin), "."))
	for _, record := range records {
		record.Header().Name = question.Name // with the letters as they were asked: resolvers compare
		kind := record.Header().Rrtype
		if kind == question.Qtype || question.Qtype == dns.TypeANY || kind == dns.TypeCNAME {
			reply.Answer = append(reply.Answer, record)
		}
		if alias, ok := record.(*dns.CNAME); ok && question.Qtype != dns.TypeCNAME {
			reply.Answer = append(reply.Answer, z.follow(alias.Target, question.Qtype, network)...)
		}
		if service, ok := record.(*dns.SRV); ok && question.Qtype == dns.TypeSRV {
			reply.Extra = append(reply.Extra, z.addresses(service.Target)...)
		}
	}
	return z.finish(reply, exists)
}

func (z *zone) finish(reply *dns.Msg, exists bool) *dns.Msg {
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: header(z.origin, dns.TypeSOA), Ns: "ns.dns." + z.origin, Mbox: "hostmaster." + z.origin,
			Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
		}}
	}
	return reply
}

// follow resolves an ExternalName's target, as stub resolvers expect.
func (z *zone) follow(target string, kind uint16, network string) []dns.RR {
	question := new(dns.Msg)
	question.SetQuestion(target, kind)
	if inside := z.answer(question, network); inside != nil {
		return inside.Answer
	}
	return z.resolver.ask(question, network).Answer
}

func (z *zone) addresses(name string) []dns.RR {
	records, _ := z.records(strings.TrimSuffix(strings.TrimSuffix(dns.CanonicalName(name), z.origin), "."))
	var found []dns.RR
	for _, record := range records {
		if address, ok := record.(*dns.A); ok {
			address.Hdr.Name = name
			found = append(found, address)
		}
	}
	return found
}

// records returns all that a name below the origin has, and whether it exists, be it without records.
func (z *zone) records(name string) ([]dns.RR, bool) {
	var labels []string
	if name != "" {
		labels = strings.Split(name, ".")
	}
	last := len(labels) - 1
	switch {
	case last < 0:
		return nil, true
	case name == "dns-version":
		return []dns.RR{&dns.TXT{Hdr: header("", dns.TypeTXT), Txt: []string{specVersion}}}, true
	case labels[last] == "pod":
		return podRecords(labels[:last])
	case labels[last] != "svc":
		return nil, false
	case last == 0:
		return nil, true
	case last == 1:
		return nil, z.hasNamespace(labels[0])
	}
	return z.serviceRecords(labels[:last-2], labels[last-2], labels[last-1])
}

// podRecords answers 10-244-1-7.namespace.pod with the address in the name, as CoreDNS's "pods insecure".
func podRecords(labels []string) ([]dns.RR, bool) {
	switch len(labels) {
	case 0, 1:
		return nil, true
	case 2:
		if ip := net.ParseIP(strings.ReplaceAll(labels[0], "-", ".")).To4(); ip != nil {
			return []dns.RR{address(ip)}, true
		}
	}
	return nil, false
}

func (z *zone) hasNamespace(namespace string) bool {
	found, err := z.services.ByIndex(cache.NamespaceIndex, namespace)
	return err == nil && len(found) > 0
}

func (z *zone) serviceRecords(before []string, name, namespace string) ([]dns.RR, bool) {
	key := namespace + "/" + name
	object, exists, err := z.services.GetByKey(key)
	if err != nil || !exists {
		return nil, false
	}
	service, ok := object.(*corev1.Service)
	if !ok {
		return nil, false
	}
	full := name + "." + namespace + ".svc." + z.origin
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		if len(before) > 0 {
			return nil, false
		}
		target := dns.Fqdn(service.Spec.ExternalName)
		return []dns.RR{&dns.CNAME{Hdr: header("", dns.TypeCNAME), Target: target}}, true
	}
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		return z.headlessRecords(key, before, full)
	}
	switch len(before) {
	case 0:
		return []dns.RR{address(net.ParseIP(service.Spec.ClusterIP))}, true
	case 1:
		for _, port := range service.Spec.Ports {
			if before[0] == protocolLabel(port.Protocol) {
				return nil, true
			}
		}
	case 2:
		var records []dns.RR
		for _, port := range service.Spec.Ports {
			if before[0] == "_"+port.Name && before[1] == protocolLabel(port.Protocol) {
				records = append(records, srv(port.Port, full))
			}
		}
		return records, len(records) > 0
	}
	return nil, false
}

func (z *zone) headlessRecords(key string, before []string, full string) ([]dns.RR, bool) {
	object, exists, err := z.endpoints.GetByKey(key)
	if err != nil || !exists {
		return nil, len(before) == 0
	}
	endpoints, ok := object.(*corev1.Endpoints)
	if !ok {
		return nil, false
	}
	var records []dns.RR
	found := len(before) == 0
	for _, subset := range endpoints.Subsets {
		for _, endpoint := range subset.Addresses {
			host := hostOf(endpoint)
			if len(before) == 0 || (len(before) == 1 && before[0] == host) {
				records = append(records, address(net.ParseIP(endpoint.IP)))
			}
			for _, port := range subset.Ports {
				protocol := protocolLabel(port.Protocol)
				found = found || (len(before) == 1 && before[0] == protocol)
				if len(before) == 2 && before[0] == "_"+port.Name && before[1] == protocol {
					records = append(records, srv(port.Port, host+"."+full))
				}
			}
		}
	}
	return records, found || len(records) > 0
}

// hostOf names an endpoint below its headless Service: a StatefulSet's pods have names, others addresses.
func hostOf(endpoint corev1.EndpointAddress) string {
	if endpoint.Hostname != "" {
		return endpoint.Hostname
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(endpoint.IP)
}

// namesOf finds the names of an address.
func (z *zone) namesOf(address string) []string {
	if address == "" {
		return nil
	}
	var names []string
	services, _ := z.services.ByIndex(byAddress, address)
	for _, object := range services {
		if service, ok := object.(*corev1.Service); ok {
			names = append(names, service.Name+"."+service.Namespace+".svc."+z.origin)
		}
	}
	found, _ := z.endpoints.ByIndex(byAddress, address)
	for _, object := range found {
		endpoints, ok := object.(*corev1.Endpoints)
		if !ok || !z.headless(endpoints) {
			continue
		}
		for _, subset := range endpoints.Subsets {
			for _, endpoint := range subset.Addresses {
				if endpoint.IP == address {
					full := endpoints.Name + "." + endpoints.Namespace + ".svc." + z.origin
					names = append(names, hostOf(endpoint)+"."+full)
				}
			}
		}
	}
	return names
}

func (z *zone) headless(endpoints *corev1.Endpoints) bool {
	object, exists, err := z.services.GetByKey(endpoints.Namespace + "/" + endpoints.Name)
	service, ok := object.(*corev1.Service)
	return err == nil && exists && ok && service.Spec.ClusterIP == corev1.ClusterIPNone
}

// reverseAddress turns "7.1.244.10.in-addr.arpa." into "10.244.1.7"; "" for what is no whole address.
func reverseAddress(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa."), ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	if ip := net.ParseIP(strings.Join(labels, ".")); ip != nil {
		return ip.String()
	}
	return ""
}

func protocolLabel(protocol corev1.Protocol) string {
	return "_" + strings.ToLower(string(protocol))
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func address(ip net.IP) dns.RR {
	return &dns.A{Hdr: header("", dns.TypeA), A: ip}
}

func srv(port int32, target string) dns.RR {
	return &dns.SRV{Hdr: header("", dns.TypeSRV), Weight: 100, Port: uint16(port), Target: target}
}
