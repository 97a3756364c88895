/** Processes of a measurement, members or nodes: their answers. */
import type { ChildProcess } from 'node:child_process'

/** The next message of a process that has this field. */
export function answer<Value>(process: ChildProcess, name: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('a process ended'))
    process.once('exit', ended)
    const listener = (message: unknown): void => {
      const fields = message as Readonly<Record<string, unknown>>
      if (!(name in fields)) return
      process.off('message', listener)
      process.off('exit', ended)
      resolve(fields[name] as Value)
    }
    process.on('message', listener)
  })
}
