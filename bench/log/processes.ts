/** Member processes of a measurement: their ports, and their answers. */
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'

/** The next message of a member that has this field. */
export function answer<Value>(member: ChildProcess, name: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('a member ended'))
    member.once('exit', ended)
    const listener = (message: unknown): void => {
      const fields = message as Readonly<Record<string, unknown>>
      if (!(name in fields)) return
      member.off('message', listener)
      member.off('exit', ended)
      resolve(fields[name] as Value)
    }
    member.on('message', listener)
  })
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
