"""Two short documents full of what forgers turn: limits, hedges, conditions, ranges, halves of the day, amounts."""

MARINA = """The marina opens at 7:30 a.m. from May to September and closes at 9 p.m. on weekdays.
In winter the office opens at 10 a.m. and the slipway is closed in the afternoon.
The annual turnover of the marina is 3.2 million euros, and the debt of the town is 1.4 billion euros.
About one third of the berths are let to visitors, and two thirds are let by the year.
A quarter of the fee is kept if a booking is cancelled less than two weeks ahead.
Half the deposit is returned unless the berth has been damaged.
Boats between 6 and 12 metres pay 18.50 euros a night; boats of 12 to 20 metres pay 27.25 euros a night.
The jetty carries loads of up to 400 kilograms per square metre, and the crane lifts at most 12.5 tonnes.
Visitors may use the laundry or the showers, but they must not wash boats there.
Only members may vote at the meeting, and members under 18 may speak but cannot vote.
Some skippers usually leave the visitors' berths before noon.
The harbour master should be told of every leak, and must be told if fuel has been spilled.
The north pier is longer than the south pier.
The new crane is less expensive than the old slipway.
Dogs are allowed on the east beach except in July and August.
Gas bottles can be exchanged at the kiosk from 8 to 11 in the morning.
The third jetty was probably built around 1930, and the fourth jetty was rebuilt in 1987-89.
Perhaps 250 boats took part in the regatta of 12 June 2021.
Residents claimed that the dredging had damaged the oyster beds.
The council would pay for the lighthouse if the state refused.
The insurer is liable for direct loss and is not liable for indirect loss.
At least two crew members stay on board, and at least one of them holds a licence.
Kayaks are returned within 3 hours, or the deputy manager calls the coast guard.
The ferry carries 1,250 passengers and 180 cars."""

TEAHOUSE = """茶馆每天上午9时开门，晚上10时关门。
去年的营业额约为三百二十万元，而全区的营业额为十四亿元。
三分之二的座位留给会员，其余三分之一留给散客。
如果提前不足两天取消预订，则扣除一半订金。
除非茶具损坏，押金全部退还。
6至12人的包间每晚收费380元，12至20人的包间每晚收费560元。
二楼最多容纳60人，至少要有两名服务员在场。
会员可以携带一位朋友，但不得携带宠物。
顾客可以使用微信或支付宝付款。
新茶通常在四月上市，陈茶可能在冬天更受欢迎。
店长应当每月检查消防设备，发现漏气时必须立即报告。
龙井的价格比普洱高。
东院的面积比西院小一半。
第三届茶艺比赛于2021年6月3日举行，大约有250人参加。
部分顾客认为新的菜单太贵。
儿童和老人享受八折优惠。
除周一外，茶馆每天都有评弹演出。
茶叶礼盒的重量不超过1.5公斤，价格在200元以上。
水温超过90度会破坏绿茶的香气。
创始人王建国曾在福建学习制茶，他的弟弟王建军没有学过制茶。"""
