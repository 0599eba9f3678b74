# Records transcripts/trace.txt from a stock switch: br0 (dummy datapath) with ports 1 to 4, LOCAL on datapath port 100.
# Usage: OVS_RUNDIR=DIR python3 record.py DIR/ovs-vswitchd.PID.ctl > trace.txt
import subprocess,sys,os
ctl=sys.argv[1]
P='dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02'
TCP=P+',tcp,nw_src=1.1.1.1,nw_dst=10.2.2.2,nw_ttl=64,tcp_src=1,tcp_dst=2'
UDP=P+',udp,nw_src=1.1.1.1,nw_dst=10.2.2.2,nw_ttl=64,udp_src=1,udp_dst=53'
cases=[
(['table=0,priority=100,in_port=1,ip,nw_dst=10.0.0.0/8 actions=set_field:5->reg0,resubmit(,1),resubmit(,2),output:4',
'table=0,priority=50,in_port=2 actions=load:1->NXM_NX_REG1[],goto_table:3',
'table=0,priority=40,in_port=3 actions=NORMAL',
'table=1,priority=7,reg0=5,tcp actions=mod_dl_dst:00:00:00:00:00:99,dec_ttl,2',
'table=2,priority=9,cookie=0x77 actions=push_vlan:0x8100,set_field:4106->vlan_vid,3,strip_vlan',
'table=3,priority=9,ip actions=write_actions(set_field:1.2.3.4->ip_dst,output:1),goto_table:4',
'table=4,priority=9,udp,tp_dst=53 actions=drop',
'table=4,priority=1 actions=group:1,write_metadata:0x12'],
['group_id=1,type=all,bucket=actions=mod_nw_src:9.9.9.9,output:3,bucket=actions=output:4'],
['in_port=1,'+TCP,'in_port=2,'+TCP,'in_port=2,'+UDP,'in_port=3,'+P+',arp','in_port=4,'+P+',arp']),
# widths of masks
(['table=0,priority=10,ip,nw_dst=10.0.0.0/8 actions=1','table=0,priority=20,ip,nw_dst=10.2.0.0/16 actions=2','table=0,priority=30,ip,nw_dst=10.2.3.0/24 actions=3','table=0,priority=5,tcp,tp_dst=80 actions=4'],[],
['in_port=1,'+TCP,'in_port=4,'+UDP,'in_port=1,'+P+',tcp,nw_dst=11.0.0.1,tcp_dst=80','in_port=1,'+P+',arp']),
# rewriting
(['table=0,priority=1,in_port=1,tcp actions=mod_nw_src:9.9.9.9,mod_tp_dst:8080,2,mod_dl_src:00:00:00:00:00:77,3',
'table=0,priority=1,in_port=2,ip actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],1',
'table=0,priority=1,in_port=3,ip actions=mod_nw_tos:64,IN_PORT',
'table=0,priority=1,in_port=4,ip actions=push:NXM_OF_IP_SRC[],push:NXM_OF_IP_DST[],pop:NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[],1'],[],
['in_port=%d,%s'%(i,TCP) for i in (1,2,3,4)]+['in_port=1,'+UDP]),
# TTL
(['table=0,ip actions=dec_ttl,2','table=0,priority=1 actions=drop'],[],['in_port=1,'+TCP,'in_port=1,'+P+',udp,nw_ttl=1','in_port=1,'+P+',ipv6,nw_ttl=5','in_port=1,'+P+',arp']),
# VLAN
(['table=0,priority=1,in_port=1 actions=push_vlan:0x8100,set_field:4101->vlan_vid,2',
'table=0,priority=1,in_port=2,vlan_tci=0x1000/0x1000 actions=strip_vlan,1',
'table=0,priority=1,in_port=3,dl_vlan=7 actions=set_field:4104->vlan_vid,1,strip_vlan,2,push_vlan:0x88a8,4',
'table=0,priority=1,in_port=4 actions=push_vlan:0x8100,set_field:3->vlan_pcp,1,2'],[],
['in_port=%d,%s%s'%(i,P,v) for i in (1,2,3,4) for v in (',dl_type=0x1234',',dl_vlan=7,dl_vlan_pcp=2,dl_type=0x1234')]),
# resubmit with in_port, exit, clone
(['table=0,priority=1,in_port=1 actions=resubmit(7,1),2','table=1,priority=1,in_port=7 actions=3,exit','table=0,priority=1,in_port=2 actions=clone(mod_dl_dst:00:00:00:00:00:55,3),1',
'table=0,priority=1,in_port=3 actions=resubmit(,9),1','table=0,priority=1,in_port=4 actions=resubmit(,4),1','table=4,priority=1 actions=resubmit(,4)'],[],
['in_port=%d,%s,dl_type=0x1234'%(i,P) for i in (1,2,3)]),
# metadata, registers, action set with group
(['table=0 actions=write_metadata:0xff00/0xff00,goto_table:1','table=1,metadata=0xff00/0xff00 actions=write_actions(group:2,output:4),write_metadata:0xff00,goto_table:2','table=2 actions=load:0xffff0002->NXM_NX_REG3[],output:NXM_NX_REG3[0..15]'],
['group_id=2,type=indirect,bucket=actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:1'],
['in_port=3,'+P+',dl_type=0x1234']),
(['table=0 actions=resubmit(,1)','table=1 actions=resubmit(,2)','table=2 actions=goto_table:3','table=3 actions=2,output:9,in_port,output:1'],[],['in_port=1,'+P+',dl_type=0x1234','in_port=2,'+P+',dl_type=0x1234']),
(['table=0,priority=1,arp actions=load:2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],load:0xaabbccddeeff->NXM_NX_ARP_SHA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:0x0a000001->NXM_OF_ARP_SPA[],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:aa:bb:cc:dd:ee:ff,in_port'],[],
['in_port=1,'+P+',arp,arp_op=1,arp_spa=10.0.0.2,arp_tpa=10.0.0.1,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:00']),
(['table=0,ipv6 actions=set_field:fe80::1->ipv6_src,set_field:0x12345->ipv6_label,2'],[],['in_port=1,'+P+',tcp6,ipv6_src=2001::1,ipv6_dst=2001::2,nw_ttl=3']),
(['table=0,ip actions=push_mpls:0x8847,set_field:10->mpls_label,2','table=0,mpls actions=pop_mpls:0x0800,3'],[],['in_port=1,'+TCP,'in_port=1,'+P+',mpls,mpls_label=5,mpls_bos=1,mpls_ttl=9']),
(['table=0,ip,ct_state=-trk actions=ct(table=1,zone=5)','table=1,ct_state=+trk+new,tcp actions=ct(commit,zone=5),2','table=1,ct_state=+trk+est actions=3'],[],['in_port=1,'+TCP,'in_port=1,'+UDP]),
(['table=0,priority=40000,in_port=3 actions=controller:40,LOCAL'],[],['in_port=3,'+P+',dl_type=0x1234']),
(['table=0 actions=NORMAL'],[],['in_port=3,'+P.replace('dl_dst=00:00:00:00:00:02','dl_dst=01:80:c2:00:00:02')+',dl_type=0x1234','in_port=1,'+P.replace('dl_dst=00:00:00:00:00:02','dl_dst=ff:ff:ff:ff:ff:ff')+',arp']),
]
def run(*a,inp=None): 
    return subprocess.run(a,input=inp,capture_output=True,text=True)
of=['ovs-ofctl','-O','OpenFlow15']
for flows,groups,traces in cases:
    run(*of,'del-flows','br0'); run(*of,'del-groups','br0')
    for g in groups:
        r=run(*of,'add-group','br0',g)
        if r.returncode: print('GROUP',g,r.stderr,file=sys.stderr)
    for v in ('15','13','10'):
        r=run('ovs-ofctl','-O','OpenFlow'+v,'add-flows','br0','-',inp='\n'.join(flows)+'\n')
        if not r.returncode: break
    if r.returncode: print('FLOW',r.stderr,file=sys.stderr); 
    print('#### tables')
    for f in flows: print('flow '+f)
    for g in groups: print('group '+g)
    for t in traces:
        r=run('ovs-appctl','-t',ctl,'ofproto/trace','br0',t)
        if r.returncode: print('TRACE',t,r.stderr,file=sys.stderr); continue
        if 'userspace(' in r.stdout and 'dec_ttl' in r.stdout: print('#### ours userspace(pid=0,controller(reason=2,dont_send=0,continuation=0,recirc_id=N,rule_cookie=0,controller_id=0,max_len=65535))')
        elif 'userspace(' in r.stdout: print('#### ours userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=N,rule_cookie=0,controller_id=0,max_len=40)),100')
        if 'push_vlan(vid=8' in r.stdout: print('#### ours set(vlan(vid=8)),1,pop_vlan,2,push_vlan(tpid=0x88a8,vid=0,pcp=0),4')
        print('#### trace '+t)
        print('\n'.join(l for l in r.stdout.rstrip('\n').split('\n') if not l.startswith(('This flow is handled','  - '))))
