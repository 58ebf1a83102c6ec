//! The load generator, and the numbers that it shows.

use crate::{gateway::Gateway, process::output_of};
use anyhow::{Context, Result, bail, ensure};
use std::{fs, path::PathBuf, process::Command, time::Duration};

/// The load generator.
#[derive(Clone)]
pub struct Load {
    /// Its program.
    pub wrk: PathBuf,
    /// How long one round lasts.
    pub seconds: u32,
    /// How many connections it makes.
    pub connections: u32,
}

/// The results of one way to do something, round by round.
#[derive(Debug, Default)]
pub struct Series {
    /// Requests a second.
    rates: Vec<f64>,
    /// Microseconds of processor time a request; none where that is not measured.
    cpu: Vec<f64>,
}

impl Load {
    /// Measures one round before a gateway, whose processor time counts.
    pub fn measure(
        &self,
        gateway: &Gateway,
        url: &str,
        arguments: &[&str],
        series: &mut Series,
    ) -> Result<()> {
        let process = gateway.id().to_string();
        let before = cpu_seconds(&process, OWN)?;
        let (requests, rate) = self.run(url, arguments)?;
        series.cpu.push((cpu_seconds(&process, OWN)? - before) * 1e6 / requests);
        series.rates.push(rate);
        Ok(())
    }

    /// Measures one round before another server.
    pub fn measure_peer(&self, url: &str, arguments: &[&str], series: &mut Series) -> Result<()> {
        series.rates.push(self.run(url, arguments)?.1);
        Ok(())
    }

    /// Returns the requests done, and requests a second. An answer that is no success is an error.
    pub fn run(&self, url: &str, arguments: &[&str]) -> Result<(f64, f64)> {
        let mut command = Command::new(&self.wrk);
        command
            .args(["-t1", &format!("-c{}", self.connections), &format!("-d{}s", self.seconds)])
            .args(arguments)
            .arg(url);
        let output = output_of(&mut command)?;
        if let Some(line) =
            output.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
        {
            bail!("{url}: {}", line.trim());
        }
        let requests =
            output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
        let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
        let (requests, rate) =
            requests.zip(rate).with_context(|| format!("wrk wrote something else: {output}"))?;
        ensure!(requests > 0.0, "{url}: nothing was answered in {} s", self.seconds);
        Ok((requests, rate))
    }
}

/// Measures one round of a program that makes its own load, whose processor time counts: it prints the requests done,
/// and requests a second.
pub fn measure_program(command: &mut Command, series: &mut Series) -> Result<()> {
    let before = cpu_seconds("self", ENDED_CHILDREN)?;
    let output = output_of(command)?;
    let cpu = cpu_seconds("self", ENDED_CHILDREN)? - before;
    let numbers = output
        .split_once(' ')
        .and_then(|(requests, rate)| Some((requests.parse::<f64>().ok()?, rate.parse::<f64>().ok()?)));
    let (requests, rate) = numbers.with_context(|| format!("it wrote something else: {output}"))?;
    series.cpu.push(cpu * 1e6 / requests);
    series.rates.push(rate);
    Ok(())
}

impl Series {
    /// Adds a round of something that was measured by other means, in requests a second.
    pub fn add(&mut self, rate: f64) {
        self.rates.push(rate);
    }

    /// Prints it beside another, which was measured in the same rounds.
    pub fn print_beside(&self, name: &str, peer: &str, theirs: &Self) {
        let ratios: Vec<f64> =
            self.rates.iter().zip(&theirs.rates).map(|(ours, theirs)| ours / theirs).collect();
        print!(
            "{name:<24} gateway {:>7.0}   {peer:<11}{:>7.0}   ratio {:.2}   gateway CPU {:.1} us a request",
            median(&self.rates),
            median(&theirs.rates),
            median(&ratios),
            median(&self.cpu)
        );
        match theirs.cpu.is_empty() {
            true => println!(),
            false => println!(", {peer} {:.1}", median(&theirs.cpu)),
        }
    }
}

/// The place in `/proc/PID/stat` of the processor time of the process, and of its children that have ended: in user
/// mode and, next to it, in the kernel. It is counted after the name in brackets.
const OWN: usize = 11;
const ENDED_CHILDREN: usize = 13;

fn cpu_seconds(process: &str, field: usize) -> Result<f64> {
    let ticks_a_second: f64 = output_of(Command::new("getconf").arg("CLK_TCK"))?.parse()?;
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat")?;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(field).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / ticks_a_second)
}

/// Reads how much memory a gateway holds.
pub fn resident_mebibytes(gateway: &Gateway) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", gateway.id()))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("/proc/PID/status")?.parse::<f64>()? / 1024.0)
}

/// Converts a time to a number of milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Finds the value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
