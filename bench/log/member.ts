/** One process of a three-member group: opens its member, and when it leads and is told to, appends. */
import type { FlushDiskType } from '@dledger-ts/dledger'
import { load, type LoadWish } from './load.ts'
import { openMember, tellWhenLeading } from './open-member.ts'

const [directory = '', self = '', portList = '', flush = ''] = process.argv.slice(2)
const log = await openMember(self, portList, { directory, flushDiskType: flush as FlushDiskType })
process.on('message', (wish: LoadWish | 'cpu') => {
  if (wish === 'cpu') {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system })
    return
  }
  void load(log, wish).then((result) => process.send?.({ result }))
})
tellWhenLeading(log)
