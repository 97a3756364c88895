/** Administration that tests need. */
import { connect } from 'node:net'

interface Reply {
  code: number
  remark?: string
  body: Buffer
}

function request(address: string, code: number, extFields: Record<string, string>): Promise<Reply> {
  const at = address.lastIndexOf(':')
  const header = Buffer.from(JSON.stringify({ code, language: 'JAVA', version: 479, opaque: 1, flag: 0, extFields }))
  const frame = Buffer.alloc(8)
  frame.writeInt32BE(4 + header.length, 0)
  frame.writeInt32BE(header.length, 4)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(address.slice(at + 1)), address.slice(0, at))
    let read = Buffer.alloc(0)
    socket.setTimeout(5000, () => socket.destroy(new Error('timeout')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed')))
    socket.on('data', (chunk) => {
      read = Buffer.concat([read, chunk])
      if (read.length < 8 || read.length < 4 + read.readInt32BE(0)) return
      const length = read.readInt32BE(4) & 0xffffff
      const reply = JSON.parse(read.subarray(8, 8 + length).toString()) as Reply
      resolve({ ...reply, body: read.subarray(8 + length, 4 + read.readInt32BE(0)) })
      socket.destroy()
    })
    socket.write(Buffer.concat([frame, header]))
  })
}

export async function createTopic(namesrv: string, topic: string, queues: number): Promise<void> {
  const route = await request(namesrv, 105, { topic: 'TBW102' })
  const master = /"?0"?:"([^"]+)"/.exec(route.body.toString())?.[1]
  if (master === undefined) throw new Error(`no master in ${route.body.toString()}`)
  const made = await request(master, 17, {
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: String(queues),
    writeQueueNums: String(queues),
    perm: '6',
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: '0',
    order: 'false',
  })
  if (made.code !== 0) throw new Error(`cannot create ${topic}: ${made.code} ${made.remark}`)
}
