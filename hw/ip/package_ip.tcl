# Packages the Verilog in hdl/ as IP for Vivado's catalog, in the folder of the same name as the top
# module. With Vivado on the path:
#
#     vivado -mode batch -source package_ip.tcl
#     vivado -mode batch -source package_ip.tcl -tclargs xc7z045ffg900-2
#
# The part is only needed to open a project; the IP is for all families below. To use it, add this
# folder to the repositories of IP in a project.

set here [file dirname [file normalize [info script]]]
if {[info exists argv] && [llength $argv] > 0} {
    set part [lindex $argv 0]
}
set families {
    zynq Production artix7 Production kintex7 Production virtex7 Production spartan7 Production
    zynquplus Production kintexu Production kintexuplus Production artixuplus Production
}

# The only element of a list of objects that must not be empty.
proc the {what found} {
    if {[llength $found] != 1} {
        error "package_ip.tcl: the packager must find one $what, not [llength $found]"
    }
    return [lindex $found 0]
}

proc bus {name} {
    return [the "interface $name" [ipx::get_bus_interfaces $name -of_objects [ipx::current_core]]]
}

# A parameter of an interface, made where inference has made none.
proc bus_parameter {name interface value} {
    set found [ipx::get_bus_parameters $name -of_objects $interface]
    if {[llength $found] == 0} {
        set found [ipx::add_bus_parameter $name $interface]
    }
    set_property value $value $found
    return $found
}

create_project -force package_ip [file join $here vivado] -part $part
add_files -norecurse [lsort [glob [file join $here hdl *.v]]]
set_property top $top [current_fileset]
update_compile_order -fileset sources_1

# ---- Core, interfaces -------------------------------------------------------------------------------

ipx::package_project -root_dir [file join $here $top] -vendor $vendor -library $library \
    -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property -dict [list \
    name $top version $version display_name $display_name description $description \
    vendor_display_name $vendor supported_families $families \
] $core

ipx::associate_bus_interfaces -busif s_axi -clock aclk $core
ipx::associate_bus_interfaces -busif m_axi -clock aclk $core
ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
bus_parameter POLARITY [bus aresetn] ACTIVE_LOW
bus_parameter SENSITIVITY [bus interrupt] LEVEL_HIGH
# A design may connect another clock than the one that the estimates were made for.
set_property value_resolve_type user [bus_parameter FREQ_HZ [bus aclk] $frequency]

# ---- Address space of the master, map of the registers ---------------------------------------------

foreach space [ipx::get_address_spaces -of_objects $core] {
    ipx::remove_address_space [get_property name $space] $core
}
set space [ipx::add_address_space m_axi $core]
set_property -dict {range 4G width 32} $space
set_property master_address_space_ref m_axi [bus m_axi]

foreach map [ipx::get_memory_maps -of_objects $core] {
    ipx::remove_memory_map [get_property name $map] $core
}
set map [ipx::add_memory_map s_axi $core]
set_property slave_memory_map_ref s_axi [bus s_axi]
set block [ipx::add_address_block registers $map]
set_property -dict {usage register access read-write base_address 0 range 4096 width 32} $block

foreach entry $registers {
    lassign $entry name offset access text fields
    set register [ipx::add_register $name $block]
    set_property -dict [list \
        address_offset $offset size 32 access $access description $text \
    ] $register
    foreach part $fields {
        lassign $part field first width meaning
        set_property -dict [list \
            bit_offset $first bit_width $width access $access description $meaning \
        ] [ipx::add_field $field $register]
    }
}

# ---- Write it -----------------------------------------------------------------------------------------

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
puts "package_ip.tcl: $vendor:$library:$top:$version is in [file join $here $top]"
